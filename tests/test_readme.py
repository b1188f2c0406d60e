"""What the README shows and says is so."""

import re
import subprocess
import sys

from tests.readme_picture import ROOT, picture

README = (ROOT / "README.md").read_text("utf-8")


def test_the_picture_is_the_one_in_the_notebook():
    message = "the notebook was built again; make the picture anew with: python -m tests.readme_picture"
    assert (ROOT / "README.png").read_bytes() == picture(), message


def test_every_link_leads_to_a_file():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) >= 2
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_command_and_option_that_it_names_exists():
    shown = re.findall(r"lmbook ([a-z]+)((?: [^#`\n]*)?)", README)
    commands = {command for command, _ in shown}
    assert commands >= {"run", "start", "check", "progress", "release", "grade", "new", "doctor"}
    for command in commands:
        options = {o for c, rest in shown if c == command for o in re.findall(r"(?<!\w)--?[a-z]+", rest)}
        program = [sys.executable, "-m", "lmlib.course", command, "--help"]
        page = subprocess.run(program, capture_output=True, text=True, cwd=ROOT)
        assert page.returncode == 0, page.stderr
        assert [o for o in options if not re.search(rf"{o}\b", page.stdout)] == [], command
