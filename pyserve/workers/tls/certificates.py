"""The certificates with which a server shows who it is, as TLS contexts: made from the settings, chosen by the name
that a client asks for (SNI, RFC 6066 section 3), and made anew when their files change.

The master makes them before it gives up its rights, and the workers inherit them: a key may be readable for root only,
and a session that began in one worker can be resumed in another. Once a second each worker looks at the files. What
has changed, and stayed as it is for a second, is read into fresh contexts, which take the place of the old ones for the
connections to come; those that are open keep what they began with.
"""

from __future__ import annotations

import os
import re
import ssl
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pyserve.protocol.x509 import NotDer, host_matches, host_names
from pyserve.settings import Hook, Settings, SettingsError
from pyserve.workers.cfg import Config

if TYPE_CHECKING:
    from pyserve.workers.logs.error_log import ErrorLog

ALPN = ["http/1.1"]

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")
_REVOKED = b"-----BEGIN X509 CRL-----"
# What OpenSSL says of a key that is another certificate's; the latter two of one of another kind.
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_SUFFIXES = (".pem", ".crt", ".cer")
# As certbot, cert-manager and Kubernetes name the two files of one certificate.
_COUPLES = (("fullchain.pem", "privkey.pem"), ("tls.crt", "tls.key"))

Stamps = dict[str, tuple[int, int, int] | None]


class Pair(NamedTuple):
    """Where a certificate with its chain is, and where its key; both may be in one file."""

    certfile: str
    keyfile: str


@dataclass(slots=True)
class _Guise:
    """One context, and the names for which it stands."""

    names: tuple[str, ...]
    pairs: list[Pair]
    leaf: str  # PEM


class Certificates:
    """The contexts for new connections. context: the one to begin with; it gives way to another where SNI says so."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` for what cannot be used, with its setting and file."""
        self._settings = settings
        self._base = os.path.abspath(settings.chdir or os.curdir)
        self._leaves: weakref.WeakKeyDictionary[ssl.SSLContext, str] = weakref.WeakKeyDictionary()
        self._stamps = self._look_at_files()
        self._changing: Stamps | None = None
        self._shown: set[str] = set()  # the files of the certificates that are in use
        self.context = self._make()

    def leaf(self, context: ssl.SSLContext) -> str | None:
        """The certificate, in PEM, that a connection with this context shows."""
        return self._leaves.get(context)

    def look(self, log: ErrorLog, *, settled: bool = False) -> bool:
        """Whether changed files were read. To be called about once a second; settled: do not wait for them to stay.

        Broken ones leave everything as it was, and are told once.
        """
        stamps = self._look_at_files()
        if stamps == self._stamps:
            self._changing = None
            return False
        if stamps != self._changing and not settled:
            self._changing = stamps  # a certificate may be there before its key is
            return False
        self._stamps, self._changing = stamps, None
        try:
            self.context = self._make()
        except Exception as error:  # the worker's clock calls this, and must not stop for whatever a hook does
            log.error("TLS goes on with the certificates it has, the new files cannot be used: %s", error)
            return False
        return True

    # Files

    def _path(self, path: str) -> str:
        return os.path.join(self._base, os.path.expanduser(path))

    def _look_at_files(self) -> Stamps:
        settings = self._settings
        given = (*settings.certfile, *settings.keyfile, settings.ca_certs, settings.crl_file)
        return {path: stamp for name in given if name for path, stamp in _stamps(self._path(name))}

    def _pairs(self) -> list[Pair]:
        """Every certificate that the settings name, with its key."""
        keys = iter([self._path(key) for key in self._settings.keyfile])
        pairs: list[Pair] = []
        files = 0
        for path in map(self._path, self._settings.certfile):
            if os.path.isdir(path):
                found = _pairs_in(path)
                if not found:
                    raise SettingsError(f"certfile: {path!r} holds no certificate with a key")
                pairs += found
            else:
                files += 1
                pairs.append(Pair(path, next(keys, path)))
        if self._settings.keyfile and len(self._settings.keyfile) != files:
            count = len(self._settings.keyfile)
            raise SettingsError(f"keyfile: given {count} times, for {files} files of certfile; expected one for each")
        return pairs

    # Contexts

    def _make(self) -> ssl.SSLContext:
        if not self._settings.certfile:
            return self._context(None)
        guises: dict[frozenset[str], _Guise] = {}
        pairs = self._pairs()
        files = {pair.certfile for pair in pairs}
        for path in sorted(self._shown - files):
            if os.path.exists(path):  # in a directory it would be passed over, like whatever else lies there
                raise SettingsError(f"certfile: {path!r} is no certificate with a key any more")
        for pair in pairs:
            leaf = _leaf(pair)
            names = host_names(ssl.PEM_cert_to_DER_cert(leaf))
            # One context takes keys of several kinds: RSA and ECDSA for the same names are chosen by the ciphers.
            guises.setdefault(frozenset(names or (pair.certfile,)), _Guise(names, [], leaf)).pairs.append(pair)
        by_name: dict[str, ssl.SSLContext] = {}
        first: ssl.SSLContext | None = None
        for guise in guises.values():
            context = self._context(guise)
            self._leaves[context] = guise.leaf
            first = first or context
            for name in guise.names:
                by_name.setdefault(name, context)
        assert first is not None
        if len(guises) > 1 and first.sni_callback is None:
            first.sni_callback = _chooser(by_name)
        self._shown = files
        return first

    def _context(self, guise: _Guise | None) -> ssl.SSLContext:
        """guise: None where a hook brings its own."""
        name, hook = _hook(self._settings)
        if hook is None:
            return self._default_context(guise)
        try:
            context = hook(Config(self._settings), lambda: self._default_context(guise))
        except SettingsError:
            raise
        except Exception as error:
            raise SettingsError(f"{name}: it raised {error!r}") from error
        if not isinstance(context, ssl.SSLContext):
            raise SettingsError(f"{name}: it returned {context!r}, expected an ssl.SSLContext")
        return context

    def _default_context(self, guise: _Guise | None) -> ssl.SSLContext:
        """TLS 1.2 and 1.3, no compression, no renegotiation (RFC 9325 section 3)."""
        settings = self._settings
        if guise is None:
            raise SettingsError("ssl_context_factory: the default factory needs certfile")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(ALPN)
        if settings.ciphers:
            try:
                context.set_ciphers(settings.ciphers)
            except ssl.SSLError:
                raise SettingsError(f"ciphers: OpenSSL knows none of {settings.ciphers!r}") from None
        for pair in guise.pairs:
            _load(context, pair, settings.keyfile_password)
        self._trust(context)
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        """Which certificates of clients are accepted.

        A session that is resumed is not verified again. Its keys are the context's: a new revocation list, as it makes
        new contexts, ends those of whom it names.
        """
        settings = self._settings
        if settings.ca_certs:
            _load_authorities(context, "ca_certs", self._path(settings.ca_certs))
        elif settings.cert_reqs and _hook(settings)[1] is None:
            raise SettingsError(f"cert_reqs: {settings.cert_reqs} given without ca_certs, which says whom to trust")
        if settings.crl_file:
            _load_authorities(context, "crl_file", self._path(settings.crl_file))
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        context.verify_mode = ssl.VerifyMode(settings.cert_reqs)


def _hook(settings: Settings) -> tuple[str, Hook]:
    """By its name, what is called to make a context."""
    if settings.ssl_context_factory is not None:
        return "ssl_context_factory", settings.ssl_context_factory
    return "ssl_context", settings.ssl_context


def _chooser(by_name: dict[str, ssl.SSLContext]) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        for candidate in host_matches(name or ""):
            if candidate in by_name:
                connection.context = by_name[candidate]
                return

    return choose


def _stamps(path: str) -> Iterator[tuple[str, tuple[int, int, int] | None]]:
    """What changes when a file does; of a directory also what is in it, and one level below."""
    yield path, _stamp(path)
    if os.path.isdir(path):
        for entry in _entries(path):
            yield entry, _stamp(entry)
            for couple in _COUPLES if os.path.isdir(entry) else ():
                for name in couple:
                    yield os.path.join(entry, name), _stamp(os.path.join(entry, name))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _entries(path: str) -> list[str]:
    try:
        return [os.path.join(path, name) for name in sorted(os.listdir(path))]
    except OSError:
        return []


def _pairs_in(path: str) -> list[Pair]:
    """The certificates of a directory, and of the directories in it: `x.pem` with the key inside, `x.crt` and `x.key`,
    or a directory for each with two files in it."""
    if couple := _couple(path):
        return [couple]
    found: list[Pair] = []
    for entry in _entries(path):
        if os.path.isdir(entry):
            found += filter(None, [_couple(entry)])
        elif entry.endswith(_SUFFIXES):
            key = os.path.splitext(entry)[0] + ".key"
            if os.path.exists(key):
                found.append(Pair(entry, key))
            elif _KEY.search(_read("certfile", entry)):
                found.append(Pair(entry, entry))
    return found


def _couple(path: str) -> Pair | None:
    for certificate, key in _COUPLES:
        pair = Pair(os.path.join(path, certificate), os.path.join(path, key))
        if os.path.exists(pair.certfile) and os.path.exists(pair.keyfile):
            return pair
    return None


def _read(setting: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise SettingsError(f"{setting}: {path!r}: {error.strerror}") from None


def _leaf(pair: Pair) -> str:
    """The certificate itself, in PEM; the first one of its file."""
    found = _CERTIFICATE.search(_read("certfile", pair.certfile))
    if found is None:
        raise SettingsError(f"certfile: {pair.certfile!r} holds no certificate in PEM form")
    leaf = found[0].decode("latin-1") + "\n"
    try:
        host_names(ssl.PEM_cert_to_DER_cert(leaf))
    except (NotDer, ValueError):
        raise SettingsError(f"certfile: {pair.certfile!r}: its first certificate cannot be read") from None
    return leaf


def _load(context: ssl.SSLContext, pair: Pair, password: str | None) -> None:
    setting = "certfile" if pair.keyfile == pair.certfile else "keyfile"
    key = _read(setting, pair.keyfile)
    if not _KEY.search(key):
        hint = "; give keyfile" if setting == "certfile" else ""
        raise SettingsError(f"{setting}: {pair.keyfile!r} holds no private key in PEM form{hint}")
    if password is None and _ENCRYPTED.search(key):
        # OpenSSL would ask for it on the terminal.
        raise SettingsError(f"{setting}: {pair.keyfile!r} is encrypted; give keyfile_password")
    try:
        context.load_cert_chain(pair.certfile, pair.keyfile, password or "")
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            text = f"is not the key of the certificate in {pair.certfile!r}"
        elif password is not None and _ENCRYPTED.search(key):
            text = "cannot be decrypted with keyfile_password"
        else:
            text = f"cannot be used: {reason(error)}"
        raise SettingsError(f"{setting}: {pair.keyfile!r} {text}") from None
    except OSError as error:
        raise SettingsError(f"{setting}: {pair.keyfile!r}: {error.strerror}") from None


def _load_authorities(context: ssl.SSLContext, setting: str, path: str) -> None:
    if os.path.isdir(path):
        context.load_verify_locations(capath=path)
        return
    what = "certificates" if setting == "ca_certs" else "revocation list"
    nothing = f"{setting}: {path!r} holds no {what} in PEM form"
    content = _read(setting, path)
    trusted = context.cert_store_stats()["x509"]
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise SettingsError(f"{nothing}: {reason(error)}") from None
    more = context.cert_store_stats()["x509"] > trusted
    if setting == "ca_certs":
        if not more:
            raise SettingsError(nothing)
    elif _REVOKED not in content:
        raise SettingsError(nothing)
    elif more:  # OpenSSL trusts whatever it finds in either file
        raise SettingsError(f"{setting}: {path!r} holds certificates, too; those to be trusted belong into ca_certs")


def reason(error: ssl.SSLError) -> str:
    """What OpenSSL says, in its own words and without its places: `no shared cipher`."""
    text = error.reason or (error.strerror or str(error)).partition("] ")[2] or str(error)
    return text.replace("_", " ").lower()
