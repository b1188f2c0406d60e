"""Bias in what a language model says: how well targets ("she") go with attributes ("baker") in templates.

A template is a sentence such as "{target} was a {attribute}." A score says how much likelier target and attribute are
together than apart, so that it does not matter how frequent each is. Source: Kurita et al. 2019, section 3.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lmlib.evaluation.language_models import token_log_probabilities
from lmlib.interpret.attention_maps import require_eval
from lmlib.interpret.pseudo_likelihood import Encode, encoded
from lmlib.interpret.weat import Effect, effect

Score = Callable[[str, str, str], float]  # (template, target, attribute) → a score in nats


def template_bias(
    score: Score,
    templates: Sequence[str],
    targets: tuple[Sequence[str], Sequence[str]],
    attributes: tuple[Sequence[str], Sequence[str]],
) -> Effect:
    """How much more the first attributes go with the first targets, and the second with the second, than crosswise.

    The difference is in nats; the permutation test exchanges attributes.
    """
    first, second = ([preference(score, templates, targets, one) for one in group] for group in attributes)
    return effect(first, second)


def preference(
    score: Score, templates: Sequence[str], targets: tuple[Sequence[str], Sequence[str]], attribute: str
) -> float:
    """The mean score of the attribute with the first targets minus that with the second, over all templates."""
    if not templates or not all(targets):
        raise ValueError("a template, and a target on each side, are needed; one of them is empty")
    first, second = (
        [score(template, target, attribute) for template in templates for target in side] for side in targets
    )
    return sum(first) / len(first) - sum(second) / len(second)


def masked_score(model: nn.Module, encode: Encode, mask: str) -> Score:
    """The score of a masked model: ln P(target | attribute) - ln P(target | the attribute is masked too).

    `mask` is the mask as it is written in a text, "[MASK]"; a target must be a single token. Source: section 3, steps
    1 to 5.
    """
    require_eval(model)

    @torch.inference_mode()
    def score(template: str, target: str, attribute: str) -> float:
        check_template(template)
        whole, alone = (encoded(model, encode, fill(template, one, attribute)) for one in (target, mask))
        position = masked_position(whole, alone, target)
        n_pieces = len(alone) - len(encode(fill(template, mask, mask))) + 1
        both = encoded(model, encode, fill(template, mask, " ".join([mask] * n_pieces)))
        log_p = model(input_ids=torch.stack([alone, both])).logits[:, position].float().log_softmax(-1)  # (2, V)
        target_id = int(whole[position])
        return float(log_p[0, target_id] - log_p[1, target_id])

    return score


def causal_score(model: nn.Module, encode: Encode) -> Score:
    """The score of a causal model: ln P(the attribute and what follows it | all before it, the target included).

    By Bayes' rule P(attribute | target) / P(attribute) = P(target | attribute) / P(target): between two targets it
    differs by as much as the score of a masked model means to.
    """

    def score(template: str, target: str, attribute: str) -> float:
        check_template(template)
        before = template.partition("{attribute}")[0].rstrip()
        if "{target}" not in before:
            raise ValueError(f"a causal model reads from the left: the target must come first; got {template!r}")
        start = encode(before.replace("{target}", target))
        ids = encoded(model, encode, fill(template, target, attribute))
        pairs = enumerate(zip(ids.tolist(), start, strict=False))
        n_before = next((i for i, (one, other) in pairs if one != other), len(start))
        log_p = token_log_probabilities(model, ids, window=len(ids))  # (T - 1,) of the tokens from 1 on
        return float(log_p[n_before - 1 :].sum())

    return score


def fill(template: str, target: str, attribute: str) -> str:
    """The sentence."""
    return template.replace("{target}", target).replace("{attribute}", attribute)


def check_template(template: str) -> None:
    """Raise ValueError unless the template has one {target} and one {attribute}."""
    if template.count("{target}") != 1 or template.count("{attribute}") != 1:
        raise ValueError(f"a template needs {{target}} and {{attribute}}, each once; got {template!r}")


def masked_position(whole: Tensor, masked: Tensor, target: str) -> int:
    """Where the ids of a sentence (T,) and of the same with the target masked differ. Raises ValueError unless once."""
    differing = (whole != masked).nonzero()[:, 0].tolist() if len(whole) == len(masked) else []
    if len(differing) != 1:
        raise ValueError(f"the target {target!r} must be one token of the model; it is {len(whole) - len(masked) + 1}")
    return differing[0]
