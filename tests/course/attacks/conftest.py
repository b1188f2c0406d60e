"""The machine that is attacked."""

import pytest

from tests.course.attacks.world import close, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = make_world(tmp_path_factory.mktemp("machine"))
    yield world
    close(world)
