"""Three questions for the small assignment: a class with state, a module whose weights the check sets, and a figure."""

from collections.abc import Iterable

STATEFUL = '''
# %% [markdown] name="shelf" question={"points": 3, "difficulty": 1, "minutes": 1, "section": "1.1"}
# ## Shelf

# %% name="shelf-answer"
class Shelf:
    def __init__(self, room):
        ### BEGIN SOLUTION
        self.room, self.items = room, []
        ### END SOLUTION

    def put(self, item):
        ### BEGIN SOLUTION
        if len(self.items) == self.room:
            raise OverflowError(item)
        self.items.append(item)
        return len(self.items)
        ### END SOLUTION

# %% name="shelf-check"
from lmlib.course.checks import check

check("t", "shelf", Shelf)

# %% name="shelf-parts"
from lmlib.course.questions import ClassQuestion, FigureQuestion
from lmlib.course.steps import call, do, load, new, read, refuses, steps

shelf = ClassQuestion("Shelf", atol=0.0, because="texts")

@shelf.case(points=1)
def two(draw):
    """two things on a shelf"""
    return steps(new(room=2), call("put", item="cup"), do("put", item="jar"), read("items"), refuses("put", item="c"))

@shelf.case(points=2)
def many(draw):
    """many things on two shelves"""
    put = [call("put", item=f"item {i}") for i in draw.order(50).tolist()[:5]]
    return steps(new(room=5), *put, read("items"), new(room=6), *put[:2], read("items"))

# %% name="shelf-mistake-shared"
# %%mistake shelf
# All shelves share one list.
class Shelf:
    items = []
    def __init__(self, room):
        self.room = room
    def put(self, item):
        if len(self.items) == self.room:
            raise OverflowError(item)
        self.items.append(item)
        return len(self.items)

# %% name="shelf-mistake-endless"
# %%mistake shelf
# The room has no end.
class Shelf:
    def __init__(self, room):
        self.items = []
    def put(self, item):
        self.items.append(item)
        return len(self.items)

# %% name="shelf-mistake-front"
# %%mistake shelf
# Things are put at the front.
class Shelf:
    def __init__(self, room):
        self.room, self.items = room, []
    def put(self, item):
        if len(self.items) == self.room:
            raise OverflowError(item)
        self.items.insert(0, item)
        return len(self.items)

# %% name="shelf-other-tuple"
# %%other shelf
# a tuple
class Shelf:
    def __init__(self, room):
        self.left, self.items = room, ()
    def put(self, item):
        if not self.left:
            raise OverflowError
        self.left, self.items = self.left - 1, (*self.items, item)
        return len(self.items)

# %% name="shelf-other-property"
# %%other shelf
# a property
class Shelf:
    def __init__(self, room):
        self.room, self.found = room, {}
    @property
    def items(self):
        return list(self.found.values())
    def put(self, item):
        if len(self.found) >= self.room:
            raise OverflowError("full")
        self.found[len(self.found)] = item
        return len(self.found)

# %% [markdown] name="scale" question={"points": 3, "difficulty": 1, "minutes": 1, "section": "1.1"}
# ## Scale

# %% name="scale-answer"
class Scale(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        ### BEGIN SOLUTION
        self.weight = torch.nn.Parameter(torch.ones(width))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return x * self.weight
        ### END SOLUTION

# %% name="scale-check"
from lmlib.course.checks import check

check("t", "scale", Scale)

# %% name="scale-parts"
scale = ClassQuestion("Scale", atol=1e-6, because="one product")

@scale.case(points=1)
def when_new(draw):
    """as it is made"""
    return steps(new(width=3), call("__call__", x=draw.normal(2, 3)), read("weight"))

@scale.case(points=2)
def with_weights(draw):
    """with weights set"""
    return steps(new(width=4), load({"weight": draw.normal(4)}), call("__call__", x=draw.normal(2, 4)), read("weight"))

# %% name="scale-mistake-sum"
# %%mistake scale
# A sum is no product.
class Scale(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))
    def forward(self, x):
        return x + self.weight

# %% name="scale-mistake-random"
# %%mistake scale
# It begins at random numbers.
class Scale(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(width))
    def forward(self, x):
        return x * self.weight

# %% name="scale-mistake-changes-input"
# %%mistake scale
# The inputs are overwritten.
class Scale(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))
    def forward(self, x):
        return x.mul_(self.weight.detach()).neg()

# %% name="scale-other-detached"
# %%other scale
# detached
class Scale(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(width).add(1))
    def forward(self, x):
        return self.weight.detach() * x

# %% name="scale-other-einsum"
# %%other scale
# einsum
class Scale(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.register_parameter("weight", torch.nn.Parameter(torch.full((width,), 1.0)))
    def forward(self, x):
        return torch.einsum("bi,i->bi", x, self.weight)

# %% [markdown] name="plot" question={"points": 3, "difficulty": 1, "minutes": 1, "section": "1.1"}
# ## Plot

# %% name="plot-answer"
def plot(ax, x):
    ### BEGIN SOLUTION
    ax.plot(torch.arange(len(x)), x.square(), label="squares")
    ax.set(title="Squares", xlabel="place", ylabel="square", yscale="log")
    ### END SOLUTION

# %% name="plot-check"
from lmlib.course.checks import check

check("t", "plot", plot)

# %% name="plot-parts"
plot = FigureQuestion("plot", atol=1e-6, because="one product")

@plot.case(points=1)
def three_numbers(draw):
    """three numbers"""
    return {"x": torch.tensor([1.0, 2.0, 3.0])}

@plot.case(points=2)
def random_numbers(draw):
    """random numbers"""
    return {"x": draw.normal(8)}

# %% name="plot-mistake-no-square"
# %%mistake plot
# These are no squares.
def plot(ax, x):
    ax.plot(torch.arange(len(x)), x, label="squares")
    ax.set(title="Squares", xlabel="place", ylabel="square", yscale="log")

# %% name="plot-mistake-linear"
# %%mistake plot
# The scale is not logarithmic.
def plot(ax, x):
    ax.plot(torch.arange(len(x)), x.square(), label="squares")
    ax.set(title="Squares", xlabel="place", ylabel="square")

# %% name="plot-mistake-no-title"
# %%mistake plot
# There is no title.
def plot(ax, x):
    ax.plot(torch.arange(len(x)), x.square(), label="squares")
    ax.set(xlabel="place", ylabel="square", yscale="log")

# %% name="plot-other-list"
# %%other plot
# lists
def plot(ax, x):
    ax.semilogy([v * v for v in x.tolist()], ":", label="Squares")
    ax.set_title("x²")
    ax.set_xlabel("Place")
    ax.set_ylabel("Square")

# %% name="plot-other-legend"
# %%other plot
# with a legend
def plot(ax, x):
    ax.plot(range(len(x)), (x * x).numpy(), "k", label="squares")
    ax.set(title="x", xlabel="place", ylabel="square", yscale="log")
    ax.legend()
'''


def other_answers(questions: Iterable[str]) -> dict[str, str]:
    """The first other right answer to each of these questions."""
    found = {}
    for name in questions:
        cell = STATEFUL.partition(f"# %%other {name}\n")[2]
        found[name] = cell.partition("\n# %% ")[0]
    return found
