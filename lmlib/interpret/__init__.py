"""Looking inside a trained model, and measuring what it has picked up: one file an idea.

- where it looks: attention_maps (maps, rollout, flow), induction (what heads do on repeated sequences)
- what its layers hold: logit_lens, probes (with control tasks), patching (which part carries the answer)
- bias: weat (word vectors), template_bias and crows_pairs (language models; pseudo_likelihood for masked ones)
"""
