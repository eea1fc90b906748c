"""Request targets and hosts (RFC 9112 section 3.2, RFC 9110 section 7, RFC 3986)."""

import re

from pyserve.protocol.errors import ProtocolError

# IPv6address (RFC 3986 section 3.2.2): eight groups of 16 bits, of which the last two may be an IPv4address, and "::"
# once in the place of any number of them
_GROUP = rb"[0-9A-Fa-f]{1,4}"
_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LAST_TWO = rb"(?:%b:%b|(?:%b\.){3}%b)" % (_GROUP, _GROUP, _OCTET, _OCTET)
_IPV6 = b"|".join(
    [
        rb"(?:%b:){6}%b" % (_GROUP, _LAST_TWO),
        rb"::(?:%b:){5}%b" % (_GROUP, _LAST_TWO),
        *(
            rb"(?:(?:%b:){0,%d}%b)?::(?:%b:){%d}%b" % (_GROUP, 4 - behind, _GROUP, _GROUP, behind, _LAST_TWO)
            for behind in range(4, -1, -1)
        ),
        rb"(?:(?:%b:){0,5}%b)?::%b" % (_GROUP, _GROUP, _GROUP),
        rb"(?:(?:%b:){0,6}%b)?::" % (_GROUP, _GROUP),
    ]
)
# reg-name and IPv4 in one: unreserved / pct-encoded / sub-delims; IP-literal in brackets (RFC 3986 section 3.2.2).
# Possessive, as nothing that may follow could be part of it: else each octet is remembered, to be given back.
_UNRESERVED_OR_SUB = rb"._~!$&'()*+,;=0-9A-Za-z-"
_HOST = (
    rb"(?:\[(?:" + _IPV6 + rb")\]|\[[vV][0-9A-Fa-f]+\.[:" + _UNRESERVED_OR_SUB + rb"]+\]"
    rb"|(?:[" + _UNRESERVED_OR_SUB + rb"]++|%[0-9A-Fa-f]{2})*+)"
)
# Host = uri-host [ ":" port ] (RFC 9110 section 7.2); an empty one is allowed there
_HOST_FIELD = re.compile(_HOST + rb"(?::[0-9]{0,5})?")
# authority-form = uri-host ":" port (RFC 9112 section 3.2.3)
_AUTHORITY_FORM = re.compile(_HOST + rb":[0-9]{1,5}")
# absolute-form of the http and https schemes, without userinfo (RFC 9110 section 4.2.4)
_ABSOLUTE_FORM = re.compile(rb"(?i:https?)://(" + _HOST + rb"(?::[0-9]{0,5})?)((?:[/?].*)?)")
# Methods of one resource (RFC 9110 section 9.3, RFC 5789) cannot be of the server as a whole, as OPTIONS can; PRI is
# of HTTP/2 (RFC 9113 section 3.4). What others may be of is up to those who define them, as UPnP does `M-SEARCH *`.
_WITHOUT_ASTERISK = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PRI"))


def is_host(value: bytes) -> bool:
    """Tell whether a Host field's value is one (RFC 9110 section 7.2)."""
    return _HOST_FIELD.fullmatch(value) is not None


def split_target(method: str, target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Take a target apart.

    Returns (path, query, authority): raw octets; the path is as sent, `b"*"` for asterisk-form and empty for
    authority-form; authority is that of an absolute-form. Raises `ProtocolError` 400.
    """
    authority: bytes | None = None
    if not target.startswith(b"/"):
        target, authority = _other_form(method, target)
    elif method == "CONNECT":
        raise ProtocolError(400, "CONNECT takes the authority form (RFC 9112 section 3.2.3)")
    if b"#" in target:
        raise ProtocolError(400, "a request target has no fragment (RFC 9112 section 3.2)")
    path, _, query = target.partition(b"?")
    return path, query, authority


def _other_form(method: str, target: bytes) -> tuple[bytes, bytes | None]:
    """Split absolute-, authority- and asterisk-form into (path and query, authority)."""
    if method == "CONNECT":
        if _AUTHORITY_FORM.fullmatch(target) and not target.startswith(b":"):
            return b"", None
        raise ProtocolError(400, "CONNECT takes the authority form (RFC 9112 section 3.2.3)")
    if target == b"*":
        if method in _WITHOUT_ASTERISK:
            raise ProtocolError(400, "this method does not take the asterisk form (RFC 9112 section 3.2.4)")
        return target, None
    match = _ABSOLUTE_FORM.fullmatch(target)
    if match is None or not match[1] or match[1].startswith(b":"):
        raise ProtocolError(400, "invalid request target (RFC 9112 section 3.2)")
    rest = match[2]
    return (rest if rest.startswith(b"/") else b"/" + rest), match[1]
