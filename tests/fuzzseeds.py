# SPDX-License-Identifier: Apache-2.0
"""Inputs to start a fuzzer from: sessions as a host would hold them, in the bytes of fuzz/play.h.

A step of a session is a request's number and how it is made, then the numbers that it reads, or
what befalls the device. Boards are two bytes, see fuzz/machine.c.
"""

import itertools

from tracekws.device import protocol

WORLD = 0xE0
SOUND, OVERRUN, DEAF, CLOSE, NOISE, REPEAT, RESTART, REFUSE, CUT, BUTTON, QUIET = range(
    WORLD, WORLD + 11
)
FEATURES = 0x40
"""How a take is made: of features, not of PCM."""
BOARDS = [bytes([flash, rest]) for flash, rest in itertools.product((0, 1, 2, 7), (0, 0x20))]
EXTREMES = bytes([4, 7, 0])
"""A pattern: see maker.h."""
ANY = bytes([3, 1, 2])


def _asked(command: int, how: int = 0, *numbers: int) -> bytes:
    return bytes([command, how, *numbers])


def _data(n: int, pattern: bytes = ANY) -> bytes:
    return _asked(protocol.DATA, 0, 255, *pattern) * n


def _learned(words: int = 2) -> bytes:
    takes = []
    for word in range(words):
        how = FEATURES if word % 2 else 0
        takes.append(_asked(protocol.TAKE, how, word) + _data(4, EXTREMES))
        takes.append(_asked(protocol.TAKE_END))
    return _asked(protocol.LEARN, 0, 1, 0) + b"".join(takes) + _asked(protocol.END)


def _loaded(which: int) -> bytes:
    parts = _asked(protocol.DATA) * 14
    return _asked(protocol.LOAD, 0, which) + parts + _asked(protocol.END)


def _logs() -> list[bytes]:
    """Flash whose slots have logs, as forge.c reads it: records that are right, undone or wrong."""
    words = bytes([2, 0, *ANY, 5, *ANY])
    right, undone, wrong = bytes([0]) + words + b"\1\0", b"\1\1\0", bytes([8]) + words + b"\0\1\0"
    logs = [right * 3, right + undone + right, right + wrong + right]
    head, tail = bytes([128, 0, 0, *ANY]), bytes([1, 7])
    slots = [head + bytes([i % 2, 3]) + log + tail for i, log in enumerate(logs)]
    return [b"\1\1" + slot * 2 + b"\0" for slot in slots]


def sessions() -> list[bytes]:
    """Sessions that reach every state of the device."""
    ask = _asked
    save, undo, forget = ask(protocol.SAVE), ask(protocol.UNDO), ask(protocol.FORGET)
    restart, repeat, close = bytes([RESTART]), bytes([REPEAT]), bytes([CLOSE])
    sound = bytes([SOUND, 0xFF, 0x0F])
    polled = (sound + ask(protocol.POLL)) * 4
    read = (sound + ask(protocol.READ_PCM, 0, 0)) * 4
    hello = ask(protocol.HELLO) + ask(protocol.INFO) + ask(protocol.HEALTH)
    heard = ask(protocol.LISTEN) + _data(8) + ask(protocol.END)
    return [
        hello + heard + ask(protocol.CLASSIFY) + _data(8) + ask(protocol.END),
        _learned() + save + restart + _learned(3) + save + undo + restart + forget,
        _learned() + save + repeat + _learned() + save + _learned() + close + undo + undo,
        _loaded(1) + _learned() + save + _loaded(0) + restart + _loaded(1) + undo,
        _loaded(2) + hello + heard + _learned() + forget,
        ask(protocol.LIVE) + polled + bytes([OVERRUN]) + polled + ask(protocol.END),
        ask(protocol.RECORD) + read + bytes([OVERRUN]) + read + ask(protocol.END) + _learned(),
        bytes([DEAF]) + ask(protocol.LIVE) + bytes([DEAF]) + ask(protocol.RECORD) + close,
        *(_learned() + save + bytes([REFUSE, n]) + save + undo + forget for n in range(8)),
        *(_learned() + save + bytes([CUT, n, 99]) + save + undo + forget for n in range(8)),
        *(bytes([CUT, n, 200]) + _loaded(1) + save for n in (0, 3, 6, 9)),
    ]


def alone() -> list[bytes]:
    """Boards without a host: they listen, are taught by their button, forget, and find one."""
    quarter = bytes([SOUND, 0x9F, 0x0F])
    press, quiet = bytes([BUTTON]), bytes([QUIET])
    word = quarter * 2 + quiet + quarter * 5 + quiet
    held = press + quarter * 5 + press
    begun = quiet + held + quarter * 4 + quiet + word + quarter
    rest = word[3:] + word
    lesson = begun + rest
    short = press + quarter + press + quarter
    forget = press + quarter * 22 + press + quarter
    hello, info, words = (_asked(n) for n in (protocol.HELLO, protocol.INFO, protocol.WORDS))
    nothing = bytes([NOISE, 0]) * 12
    return [
        quarter * 8 + hello + info + nothing + quarter * 4,
        lesson + quarter * 8 + info + words,
        lesson + bytes([RESTART]) + quarter * 8 + forget + bytes([RESTART]) + info,
        lesson + quiet + lesson + forget + bytes([CLOSE]) + quarter,
        begun + info + words + bytes([CLOSE]) + quarter * 4,
        begun + bytes([CLOSE]) + quarter * 4 + info,
        *(part + bytes([OVERRUN]) + quarter * 4 + info for part in (begun, begun[:-12])),
        begun + short + quarter * 4 + info,
        quiet + held + quarter * 24 + short + short + info,
        short * 2 + quarter * 4,
        bytes([DEAF]) + quarter * 2 + bytes([DEAF]) + nothing * 8 + quarter,
        _asked(protocol.LIVE) + quarter * 8 + _asked(protocol.RECORD) + quarter * 8 + nothing,
        _learned() + nothing + quarter + quiet + lesson + forget,
        *(begun + bytes([REFUSE, n]) + rest + quarter * 4 + forget for n in (0, 1, 3, 6)),
        *(begun + bytes([CUT, n, 99]) + rest + quarter * 4 + forget for n in (0, 1, 3, 6)),
        *(
            lesson + bytes([end, n, 99][: 2 + (end == CUT)]) + forget
            for end in (REFUSE, CUT)
            for n in (0, 2, 9)
        ),
    ]


def _line() -> list[bytes]:
    """A session in bytes, as it goes over the line."""
    requests = [
        (protocol.HELLO, protocol.pack_hello(protocol.PROTOCOL_VERSION)),
        (protocol.INFO, b""),
        (protocol.LISTEN, b""),
        (protocol.DATA, protocol.pack_data(0, 0, b"\x12\x80" * 320)),
        (protocol.END, b""),
        (protocol.WEIGHTS, protocol.pack_weights(0, 640)),
        (protocol.SAVE, b""),
        (protocol.LEARN, protocol.pack_learn(1)),
        (protocol.TAKE, protocol.pack_take(2, 15, 32767, "w00")),
        (protocol.DATA, protocol.pack_data(0, 0, bytes(range(80)))),
        (protocol.TAKE_END, b""),
    ]
    frames = [protocol.request(c, n, body) for n, (c, body) in enumerate(requests)]
    return [b"\0\0" + b"".join(frames), *(b"\0\0" + frame for frame in frames)]


def _models() -> list[bytes]:
    """Numbers and content of a model, as maker.c reads them: at one end, and at the other."""
    n_numbers, n_arrays, n_of_traces = 34, 11, 3
    contents = [bytes(2) + pattern * n_arrays for pattern in (EXTREMES, ANY)]
    plain = [bytes([end] * n_numbers) + c for end in (0, 0xFF) for c in contents]
    middle = bytes([100, 3, 0, 0, 0, 100, 2, 0, 0, 0, 100, 0, 32, 0, 0, 0])
    traces = [pattern * n_of_traces for pattern in (EXTREMES, ANY, bytes([5, 1, 0]))]
    forms = [numbers + t for numbers in (bytes(4), b"\xff" * 4, middle) for t in traces]
    keeping = [m[:n_numbers] + b"\x80" + m[n_numbers + 1 :] + f for m in plain[2:] for f in forms]
    return plain + keeping


def _images() -> list[bytes]:
    """Models as they are, and with a byte of their content out of range."""
    changed = list(itertools.product(range(7), range(4)))
    models = (_models()[3], _models()[4])
    bad = [bytes([8]) + m + bytes([part, at, 255, 0]) for m in models for part, at in changed]
    return [b"\0" + model + bytes(4) for model in _models()] + bad


def _runs() -> list[bytes]:
    """Each model hears and learns."""
    heard = bytes([1, 0xFF, 0x0F, 0x33, 1]) + ANY
    learned = bytes([2, 15, 0, 8]) + ANY * 8
    kept = bytes([2, 64, 0, 8]) + ANY * 8
    few, many = b"\0", b"\xff"
    return [
        start + b"\1\0" + (heard + learned + kept) * 2
        for model in _models()
        for start in (few + model, many + model + EXTREMES * 5)
    ]


def seeds(target: str) -> list[bytes]:
    """Inputs of a target."""
    if target == "line":
        return _line()
    if target == "frames":
        return [board + session for session in sessions() for board in BOARDS]
    if target == "alone":
        return [board + session for session in alone() for board in BOARDS[::3]]
    if target == "flash":
        forged = [bytes(32), bytes([128, 1, 0] * 12), bytes([0, 0, 1, 0, 1, 1, 0, 3] * 6), *_logs()]
        return [board + flash + s for s in sessions()[:5] for board in BOARDS for flash in forged]
    return _images() if target == "image" else _runs()
