"""E-mail addresses, by which people are invited and known before they first sign in: one spelling of each."""

from typing import Final

LONGEST: Final = 320


def normal(address: str) -> str:
    """The address in lower case. Raises ValueError for what is none, or could pass for another one.

    Letters that are ASCII only once they are in lower case (like the Kelvin sign, which becomes a k) would make two
    addresses of different people one.
    """
    local, at, host = address.rpartition("@")
    if not (local and at and host) or len(address) > LONGEST:
        raise ValueError("is not an e-mail address, like name@example.com")
    if any(character.isspace() or not character.isprintable() for character in address):
        raise ValueError("has characters that no e-mail address has")
    if any(not one.isascii() and any(map(str.isascii, one.lower())) for one in address):
        raise ValueError("has letters that could pass for others")
    return address.lower()
