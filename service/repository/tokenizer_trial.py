"""A program that reads a tokenizer's file, and encodes with it, where nothing else can come to harm.

The library tokenizers is native code that is not made for foreign files: a broken one makes it panic, ask for
more memory than there is, which ends the process, or search for ever. So a process of its own goes first. It
is run by the path of this file, imports nothing of ours, and has limits of memory and time.

It reads the file from its standard input, and ends with 0, or writes one line that says why not.
"""

import os
import resource
import sys

_PLAIN = "The quick brown fox, 12,345.67 times"
_TEXTS = (
    _PLAIN,
    "",
    "ǅ Ünïcödé ﬁ ① Å é 漢字 かな 한국어 العربية हिन्दी 👩\u200d👩\u200d👧",
    "\x00\x01\t\r\n \u200b\ufeff\U0010ffff",
    # Where a pattern can match in many ways, these take it for ever.
    "a" * 2000 + "!",
    " " * 2000 + "\n",
    "ab" * 1000 + "!",
    "1" * 2000 + "x",
)


def main() -> int:
    """Read and try; gives the exit status."""
    memory_bytes, seconds = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(sys.stdin.buffer.read().decode())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.get_vocab()
        for text in _TEXTS:
            try:
                tokenizer.encode_batch([text])
                tokenizer.encode_batch_fast([text])
            except Exception:  # noqa: BLE001, S112  # one that knows no such words may be served
                continue
            except BaseException:
                # And one that panics on a text that nobody sends: it is that request's error.
                if text == _PLAIN:
                    raise
    except BaseException as cause:  # noqa: BLE001  # a panic is no Exception
        sys.stdout.write(" ".join(str(cause).split()))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
