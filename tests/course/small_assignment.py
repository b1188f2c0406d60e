"""A small assignment of two questions: one function, and a letter with a number."""

SOURCE = '''\
# %% [markdown] name="title"
# # 1.1 Test

# %% name="imports"
import torch

# %% [markdown] name="double" question={"points": 3, "difficulty": 1, "minutes": 1, "section": "1.1"}
# ## Double

# %% name="double-answer"
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %% name="double-check"
from lmlib.course.checks import check

check("t", "double", double)

# %% [markdown] name="double-hint-1"
# Two is the number.

# %% [markdown] name="double-hint-2"
# Multiply.

# %% name="double-parts"
import torch
from lmlib.course.questions import FunctionQuestion, ValueQuestion

double = FunctionQuestion("double", returns=("twice",), atol=1e-6, because="exact")

@double.case(points=1)
def small(draw):
    """two numbers"""
    return {"x": torch.tensor([1.0, 2.0])}

@double.case(points=2)
def random(draw):
    """random numbers"""
    return {"x": draw.normal(2, 5)}

@double.invariant
def same_sign(got, inputs):
    """the sign must stay"""
    return bool((got.sign() == inputs["x"].sign()).all())

# %% name="double-mistake-triple"
# %%mistake double
# Three is too much.
def double(x):
    return 3 * x

# %% name="double-mistake-square"
# %%mistake double
# That is the square.
def double(x):
    return x * x

# %% name="double-mistake-fails"
# %%mistake double
# Lists are not needed.
def double(x):
    raise KeyError("x")

# %% name="double-other-sum"
# %%other double
# a sum
def double(x):
    return x + x

# %% name="double-other-torch"
# %%other double
# a function
def double(x):
    return torch.mul(x, 2)

# %% [markdown] name="choose" question={"points": 2, "difficulty": 1, "minutes": 1, "section": "1.1"}
# ## Choose

# %% name="choose-answer"
letter = ""
size = None
### BEGIN SOLUTION
letter = "b"
size = 8
### END SOLUTION

# %% name="choose-check"
from lmlib.course.checks import check

check("t", "choose", letter=letter, size=size)

# %% name="choose-parts"
choose = ValueQuestion()
choose.choice("letter", "abc", points=1, title="the letter")
choose.number("size", points=1, title="the size")

# %% name="choose-mistake-a"
# %%mistake choose
# a is wrong.
letter = "a"

# %% name="choose-mistake-c"
# %%mistake choose
# c is wrong.
letter = "c"

# %% name="choose-mistake-root"
# %%mistake choose
# That is the root.
size = 64

# %% name="choose-other-upper"
# %%other choose
# upper case
letter = "B"

# %% name="choose-other-float"
# %%other choose
# a float
size = 8.0
'''
