"""JupyterLab in a headless browser: start the server, open a notebook, run it as a person would, read what it shows."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Nothing but the page: no updates, no look-ups in the network.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

RUN_ALL_AND_SAVE = """async () => {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;  // without its kernel the command would return at once
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
    await panel.context.save();
}"""


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(folder: Path, log: Path) -> Iterator[str]:
    """JupyterLab over `folder`; gives the address of its page, token included, once it answers."""
    port, token = free_port(), secrets.token_hex(16)
    own = {name: str(log.parent / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR")}
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", f"--ServerApp.port={port}"]
    options = ["--no-browser", "--allow-root", f"--IdentityProvider.token={token}", "--expose-app-in-browser"]
    _no_news(Path(own["JUPYTERLAB_SETTINGS_DIR"]))
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | own  # a student is not nbval
    with log.open("w") as out:
        process = subprocess.Popen([*command, *options], stdout=out, stderr=out, env=env)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api?token={token}", process, log)
        yield f"http://127.0.0.1:{port}/lab/tree/{{path}}?token={token}&reset"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _no_news(settings: Path) -> None:
    """Answer the question for news and updates, which would cover a corner of the page and look into the network."""
    file = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"fetchNews": "false", "checkForUpdates": false}')


def _wait_for(address: str, process: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urlopen(address, timeout=5):
                return
        except OSError:
            assert process.poll() is None, f"JupyterLab stopped:\n{log.read_text()[-2000:]}"
            time.sleep(0.3)
    raise AssertionError(f"JupyterLab did not answer within {seconds} s:\n{log.read_text()[-2000:]}")


@contextmanager
def browser_page() -> Iterator[Any]:
    """A page of a headless Chromium, as wide as a laptop's screen."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser.new_page(viewport={"width": 1400, "height": 1600})
        finally:
            browser.close()


def run_all(page: Any, address: str | None, notebook: Path, seconds: float) -> dict[str, Any]:
    """Open a notebook (None: the one that is open), run all its cells, save it; returns it as it now lies on disk."""
    page.set_default_timeout(seconds * 1000)
    if address:
        page.goto(address)
        page.wait_for_selector(".jp-Notebook")
    page.evaluate(RUN_ALL_AND_SAVE)
    return json.loads(notebook.read_text("utf-8"))


def show(page: Any, cell_id: str) -> None:
    """Scroll to a cell of the open notebook and wait until it is drawn (cells out of sight are not)."""
    page.evaluate(
        """async (id) => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            const place = notebook.widgets.findIndex((cell) => cell.model.id === id);
            notebook.activeCellIndex = place;
            await notebook.scrollToItem(place, 'center');
        }""",
        cell_id,
    )
    page.wait_for_timeout(1000)


def errors(nb: dict[str, Any]) -> list[str]:
    """The errors that the cells of an executed notebook ended with, each with its cell."""
    return [
        f"{cell['id']}: {output['ename']}: {output['evalue']}"
        for cell in nb["cells"]
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]
