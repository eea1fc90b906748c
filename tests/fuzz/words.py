"""What stands where the grammar of RFC 9112 leaves a choice: what is good, and what is nearly so."""

# fmt: off
METHODS = [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"BREW", b"get", b"M-SEARCH"]
BAD_METHODS = [b"", b"G T", b"G@T", b"(GET", b"GET\t", b"\xc9", b"G\x00", b"PRI", b"CONNECT", b"GET:"]
TARGETS = [b"/", b"/a?b=c", b"//", b"/%41/../b", b"/a;b=c?d?e", b'/"<>\\^`{|}', b"http://a/", b"HTTPS://A?x", b"/?"]
TARGETS += [b"/" * 45, b"/" * 46, b"/" * 47]  # with GET they make a line of the smallest limit, or one less or more
BAD_TARGETS = [
    b"", b"a", b"*", b"**", b"?", b"/#", b"/\xe9", b"/\x7f", b"/\t", b"a:1", b"http://", b"http:///", b"http://u@a/",
    b"ftp://a/", b"http://b/", b"/\x00", b"http://a#", b"http://[::1/", b"http://a:b/", b"http:a", b"/ /",
]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]
BAD_VERSIONS = [
    b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"http/1.1", b"HTTP/1.", b"HTTP/11", b"", b"HTTP/1.1 ", b"HTTP/1,1",
]
HOSTS = [b"a", b"A", b"a", b"a", b"", b"a:1", b"a:", b"[::1]:8000", b"[v1.a:b]", b"%41", b"1.2.3.4", b"a_b"]
BAD_HOSTS = [
    b"a b", b"a,b", b"a/b", b"u@a", b"[::1", b"[]", b"[:::]", b"[1:2]", b"[::1%a]", b"[v.a]", b"a:b", b"a:1:2", b"\xe9",
    b"%4", b"a:123456", b"a\\b", b"[::1]a", b"[g::]", b"[::1.2.3]", b"a]",
]
NAMES = [
    b"X", b"Accept", b"Cookie", b"X-Y", b"X_Y", b"Content-Type", b"TE", b"Trailer", b"Keep-Alive", b"!#$%&'*+-.^_`|~9",
]
BAD_NAMES = [b"", b"X ", b" X", b"X\t", b"X Y", b"X\xe9", b"X[", b"X\x00", b'"X"', b"X/", b"X\r", b"X\n", b"(", b"@"]
VALUES = [b"", b"y", b"a, b", b"a\tb", b"\xe9\xff", b"\x80", b"a" * 40, b"a" * 60, b":", b"a: b", b'"', b"trailers"]
VALUES += [b"b" * 46, b"b" * 47, b"b" * 48]  # and so do these with X
BAD_VALUES = [
    b"\x00", b"a\rb", b"a\nb", b"\x01", b"\x7f", b"\x0b", b"a\r", b"\r\n b", b"\r\n\tb", b"\x85\x1f", b"\x0c", b"\r",
]
LENGTHS = [b"0", b"1", b"5", b"12", b"0005", b"101"]
BAD_LENGTHS = [
    b"", b"+5", b"-5", b"5,5", b"5, 5", b"1_0", b"0x5", b"5.0", b"\xd9\xa5", b"5 5", b"1" * 19, b"9" * 30, b"5;",
    b'"5"',
]
CODINGS = [b"chunked", b"chunked", b"chunked", b"chunked", b"Chunked", b"CHUNKED"]
BAD_CODINGS = [
    b"", b"gzip", b"gzip, chunked", b"chunked, chunked", b"chunked, identity", b",chunked", b"chunked,", b"chunked;q=1",
    b"xchunked", b"chunkedx", b'"chunked"', b"chunked\x0b", b"chun ked", b"identity", b"chunked gzip", b"\xa0chunked",
]
CONNECTIONS = [
    b"keep-alive", b"close", b"Close", b"foo, close", b"keep-alive, foo", b"Upgrade", b"TE", b"closed", b"", b",",
]
EXPECTATIONS = [b"100-continue", b"100-Continue", b"100-continue", b"fire", b"", b"100-continue, 100-continue"]
BLANKS = [b"", b" ", b" ", b" ", b"\t", b"  \t"]
EXTENSIONS = [b";a", b";a=b", b' ; a = "b\\"c"', b";a=b;c", b'\t;\ta="\xe9"', b";a" * 20, b';a=""']
BAD_EXTENSIONS = [
    b";", b";a=", b" ", b";a=\x01", b';a="b', b";\r", b";a b", b"a", b";a=b c", b"; ;a", b';a="\n"', b";a" * 600,
]
TRAILERS = [b"X: y", b"A:", b'ETag: "a"', b"X-Sum:\t1 "]
BAD_TRAILERS = [
    b"Host: a", b"Content-Length: 1", b"X", b": y", b"X : y", b" X: y", b"X: \x00", b"X: a\nY: b", b"te: x", b"X: a\r",
]
LINE_ENDS = [b"\n", b"\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n ", b"", b"\r\n\r\n", b"\n\n", b"\x00\r\n"]
CUT_IN = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\x00", b"\x7f", b"\x85", b"\xa0", b"\xff", b"\x0b", b":", b";",
    b",", b"=", b"/", b"#", b'"', b"%", b"0", b"5", b"f", b"-", b"+", b"_", b"a" * 60, b"a" * 1100, b"HTTP/1.0",
    b"HEAD ", b"CONNECT a:1 ", b"Host: a\r\n", b"Content-Length: 3\r\n", b"Expect: 100-continue\r\n", b"Upgrade: x\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"A: b\r\n" * 6,
]
