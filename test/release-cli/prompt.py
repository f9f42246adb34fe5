"""Answers a program's questions on a terminal of its own.

    prompt.py ANSWER PROGRAM ARGUMENT…

Every line that ends with a colon is a question; all get the same answer, at once. Prints what the
terminal showed and ends as the program did.
"""

import os
import pty
import sys


def main(answer: str, *argv: str) -> int:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)
    shown = b""
    asked = 0
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
        if shown.count(b": ") > asked and shown.endswith(b": "):
            asked = shown.count(b": ")
            os.write(terminal, f"{answer}\r".encode())
    sys.stdout.write(shown.decode())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
