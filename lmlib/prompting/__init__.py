"""Prompting: a task as a text with a gap, answered by a language model as it is."""

from lmlib.prompting.calibration import calibrated, relative_to_domain
from lmlib.prompting.chain_of_thought import Solution, Working, solve
from lmlib.prompting.cloze import Mask, cloze_scores
from lmlib.prompting.likelihood import answer_log_probabilities, causal_scores, split_tokens
from lmlib.prompting.orders import OrderSensitivity, order_sensitivity, orders
from lmlib.prompting.templates import Demonstration, Prompt, Template
from lmlib.prompting.verbalisers import Verbaliser

__all__ = [
    "Demonstration",
    "Mask",
    "OrderSensitivity",
    "Prompt",
    "Solution",
    "Template",
    "Verbaliser",
    "Working",
    "answer_log_probabilities",
    "calibrated",
    "causal_scores",
    "cloze_scores",
    "order_sensitivity",
    "orders",
    "relative_to_domain",
    "solve",
    "split_tokens",
]
