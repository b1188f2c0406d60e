"""What a person sees while a batch runs: bars at a terminal, plain lines in a log."""

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

MARKS = {
    "passed": "[green]✓[/] passed",
    "unchanged": "[green]=[/] unchanged",
    "failed": "[bold red]✗ failed[/]",
    "short": "[bold red]✗ short of points[/]",
    "timeout": "[bold red]✗ timed out[/]",
    "died": "[bold red]✗ kernel died[/]",
    "start": "[bold red]✗ kernel did not start[/]",
    "stopped": "[yellow]– not finished[/]",
}


class Display:
    """Progress of a batch on stdout. Notebooks are known by name; calls may come from several threads."""

    def __init__(self, total: int) -> None:
        self.console = Console(soft_wrap=True, highlight=False)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[cell]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.all = self.progress.add_task("notebooks", total=total, cell="")
        self.running: dict[str, TaskID] = {}

    def __enter__(self) -> "Display":
        self.progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in list(self.running):
            self.progress.remove_task(self.running.pop(name))
        self.progress.stop()

    def began(self, name: str, cells: int) -> None:
        self.running[name] = self.progress.add_task(name, total=cells, cell="")

    def cell(self, name: str, index: int, cell: str) -> None:
        self.progress.update(self.running[name], completed=index - 1, cell=cell)

    def ended(self, name: str, status: str, why: str, seconds: float | None = None) -> None:
        if name in self.running:
            self.progress.remove_task(self.running.pop(name))
        self.progress.advance(self.all)
        took = f" in {seconds:.1f} s" if seconds else ""
        self.console.print(f"{MARKS[status]}  {escape(name)}{took}")
        if why:
            self.note(f"    {why}")

    def expect(self, more: int) -> None:
        """So many notebooks will be run again."""
        self.progress.update(self.all, total=(self.progress.tasks[0].total or 0) + more)

    def note(self, text: str) -> None:
        self.console.print(text, markup=False)
