"""A child process that never outlives its parent.

In: a command line. Out: its process id and exit status. However the parent ends - return, Ctrl-C, SIGKILL - the child
is gone within moments, on Linux and macOS alike.
"""

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

# The shell reads a pipe that nobody writes to. The pipe closes when the parent ends, whatever ended it: then the child
# is killed. (Linux's PR_SET_PDEATHSIG follows the thread that started the child, not the process; macOS has none.)
_WATCHDOG: Final = 'trap "" INT TERM HUP; read -r _; kill -9 "$1" 2>/dev/null'


class Child:
    """A running child process with its watchdog; it has a session of its own, so that Ctrl-C reaches the parent alone.

    Args:
        command: program and arguments; no shell is involved.
        output: file that receives what the child prints, appended.
        env: the child's environment; None passes on the parent's.
        keep: open file descriptors that the child inherits, such as a lock to hold for as long as it lives.
    """

    def __init__(
        self, command: Sequence[str], output: Path, env: Mapping[str, str] | None = None, keep: Sequence[int] = ()
    ) -> None:
        with output.open("ab") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=env,
                pass_fds=keep,
                start_new_session=True,
            )
        try:
            self._watchdog = subprocess.Popen(
                ["/bin/sh", "-c", _WATCHDOG, "watchdog", str(self.pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            self._process.kill()
            raise

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def poll(self) -> int | None:
        """Exit status (negative: ended by that signal), or None while the child runs."""
        status = self._process.poll()
        if status is not None:
            self._dismiss_watchdog()
        return status

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the child still runs."""
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM, limit_s: float = 20.0) -> int:
        """Send the signal and wait; after `limit_s` seconds SIGKILL follows. Returns the exit status."""
        self._process.send_signal(number)
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            # Also on Ctrl-C during the wait: nothing is left running.
            self._process.kill()
            self._process.wait()
            self._dismiss_watchdog()

    def _dismiss_watchdog(self) -> None:
        # Before the child's number can be given to a stranger, whom the watchdog would kill later.
        self._watchdog.kill()
        self._watchdog.wait()
        if self._watchdog.stdin:
            self._watchdog.stdin.close()
