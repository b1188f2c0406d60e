"""Records of real data, by task and name: `classification.load("sib200", "zh")["train"][0].text`.

Every module is one task. Its `load(name)` gives lists of one frozen dataclass by the name of the split: "train",
"validation" and "test", as far as there are such. The splits are those of the source; where it has none they are
drawn with a fixed seed (splits.py), and the module says so. A file of another form is a DataError with its line.

- language_modelling: Text. tiny_shakespeare, gutenberg_books, wikitext2; chinese_poetry, chinese_classics, hongloumeng
- classification: LabelledText. sentence_polarity, banking77, snips_nlu, sib200, xed_emotions, csl_category,
  and the words of opinion_lexicon
- tagging: TaggedSentence. wnut17, snips_nlu, uner_en, uner_zh
- question_answering: Question. xquad, cmrc2018
- translation: SentencePair. tatoeba_en_zh, ntrex128, sib200
- summarisation: Document. scitldr, csl_title
- similarity: ScoredPair. stsb_images, covid_question_similarity, wordsim353
- retrieval: Faq. cdc_faq
- dialogue: Dialogue. crosswoz
- instructions: Instruction. self_instruct
- recommendation: Rating and Item. starwars_survey, goodbooks10k, crosswoz (items only)
- pictures: Picture. emoji_images, photos
- analogies: Analogy. word_analogy, word_analogy_zh
- bias: a function for each of weat, debiaswe_words, crows_pairs, winobias, winogender
"""
