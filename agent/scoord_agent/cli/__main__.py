"""``python -m scoord_agent.cli``: the command line, where only its Python is known."""

from scoord_agent.cli.app import main

if __name__ == "__main__":
    main()
