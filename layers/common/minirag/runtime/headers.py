"""Headers of every response, also of those that a gateway makes itself."""

from typing import Final

SECURITY: Final = {
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    # These are answers for programs: as a page they may load nothing, run nothing and be framed by nobody.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    # Answers of one tenant, that no cache between may keep.
    "cache-control": "no-store",
}
"""What tells browsers to be careful; a response that has one of them already keeps its own."""
