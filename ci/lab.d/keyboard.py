"""This terminal as the keyboard of an emulated host that has no console of its own to give."""

import contextlib
import os
import select
import sys
import termios
import tty

_CTRL_A = 1


@contextlib.contextmanager
def raw():
    """Has the terminal deliver every key at once, and restores it."""
    saved = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


class Keys:
    """What is typed. With `quits`, Ctrl-A X ends the session, as on triarch's own console."""

    def __init__(self, quits):
        self._quits = quits
        self._after_ctrl_a = False
        self.quit = False

    def take(self):
        """The keys typed since the last call."""
        if not select.select([sys.stdin], [], [], 0)[0]:
            return b""
        typed = os.read(sys.stdin.fileno(), 1024)
        if not typed:
            self.quit = True
        return self._filtered(typed) if self._quits else typed

    def _filtered(self, typed):
        kept = bytearray()
        for byte in typed:
            if self._after_ctrl_a:
                self._after_ctrl_a = False
                if byte in b"xX":
                    self.quit = True
                elif byte == _CTRL_A:
                    kept.append(byte)
            elif byte == _CTRL_A:
                self._after_ctrl_a = True
            else:
                kept.append(byte)
        return bytes(kept)
