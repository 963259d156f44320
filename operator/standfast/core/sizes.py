"""Numbers of bytes for sentences, the same in agent, operator and CLI."""


def size(count: int) -> str:
    """A number of bytes, with one digit after the point.

    >>> size(512), size(1536), size(40 << 20)
    ('512 bytes', '1.5 KiB', '40.0 MiB')
    """
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << shift:
            return f"{count / (1 << shift):.1f} {unit}"
    return f"{count} bytes"


def at_most(count: int) -> str:
    """A number of bytes that goes on moving, told so that the sentence seldom changes.

    >>> at_most(70 << 20), at_most(3)
    ('at most 128.0 MiB', 'at most 64.0 KiB')
    """
    return f"at most {size(1 << max(16, (count - 1).bit_length()))}"
