"""``scoord completion``: what makes a shell complete ``scoord`` with the Tab key."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from scoord_agent.cli.app import root

_WHERE: Final = """\
\b
bash   mkdir -p ~/.local/share/bash-completion/completions
       scoord completion bash > ~/.local/share/bash-completion/completions/scoord
zsh    scoord completion zsh > "${fpath[1]}/_scoord"
fish   mkdir -p ~/.config/fish/completions
       scoord completion fish > ~/.config/fish/completions/scoord.fish
"""


@click.command(epilog=_WHERE)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    Put it where your shell looks for completions, and open a new terminal:
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion is known for {shell}")
    click.echo(kind(root, {}, "scoord", "_SCOORD_COMPLETE").source())
