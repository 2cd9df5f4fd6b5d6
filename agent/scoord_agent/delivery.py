"""What one answer to a hook takes along to its session, until it is delivered."""

from collections.abc import Callable


class Delivery:
    """What an answer tells is told when it is written to the hook; else it waits again."""

    def __init__(self) -> None:
        self._put_back: list[Callable[[], None]] = []

    @property
    def carries(self) -> bool:
        """Whether anything would be lost with the answer."""
        return bool(self._put_back)

    def takes(self, put_back: Callable[[], None]) -> None:
        """The answer takes something along; ``put_back`` has it told again."""
        self._put_back.append(put_back)

    def failed(self) -> None:
        """The answer did not get there: back it goes, the last first, so that the order stays."""
        while self._put_back:
            self._put_back.pop()()
