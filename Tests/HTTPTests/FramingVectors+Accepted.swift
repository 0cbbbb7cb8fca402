extension FramingVector {
    static let accepted: [FramingVector] = [
        FramingVector(
            "a plain request",
            section: "3",
            "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .accept,
            ["GET /a"]
        ),
        FramingVector(
            "an unusual method",
            section: "3.1",
            "M-SEARCH /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .accept,
            ["M-SEARCH /a"]
        ),
        FramingVector(
            "one empty line before the request line",
            section: "2.2",
            "\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .accept,
            ["GET /a"]
        ),
        FramingVector(
            "an empty line between two requests",
            section: "2.2",
            "GET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .accept,
            ["GET /a", "GET /a"]
        ),
        FramingVector(
            "a query",
            section: "3.2.1",
            "GET /a?b=c&d HTTP/1.1\r\nHost: h\r\n\r\n",
            .accept,
            ["GET /a?b=c&d"]
        ),
        FramingVector(
            "an encoded segment",
            section: "3.2.1",
            "GET /a%20b HTTP/1.1\r\nHost: h\r\n\r\n",
            .accept,
            ["GET /a%20b"]
        ),
        FramingVector(
            "the absolute form",
            section: "3.2.2",
            "GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n",
            .accept,
            ["GET http://h/a"]
        ),
        FramingVector(
            "the absolute form with the default port",
            section: "3.2.2",
            "GET http://h:80/a HTTP/1.1\r\nHost: H\r\n\r\n",
            .accept,
            ["GET http://h:80/a"]
        ),
        FramingVector(
            "names in any case",
            section: "5",
            "GET /a HTTP/1.1\r\nhOST: h\r\n\r\n",
            .accept,
            ["GET /a"]
        ),
        FramingVector(
            "a value without a blank",
            section: "5",
            "GET /a HTTP/1.1\r\nHost:h\r\n\r\n",
            .accept,
            ["GET /a"]
        ),
        FramingVector(
            "blanks around a value",
            section: "5",
            "GET /a HTTP/1.1\r\nHost:  h \t\r\n\r\n",
            .accept,
            ["GET /a"]
        ),
        FramingVector(
            "an empty value",
            section: "5",
            "GET /a HTTP/1.1\r\nHost: h\r\nX:\r\n\r\n",
            .accept,
            ["GET /a"]
        ),
        FramingVector(
            "obs-text in a value",
            section: "5.5",
            "GET /a HTTP/1.1\r\nHost: h\r\nX: \u{E9}\r\n\r\n",
            .accept,
            ["GET /a"]
        ),
        FramingVector(
            "a host with a port",
            section: "3.2",
            "GET /a HTTP/1.1\r\nHost: h:8080\r\n\r\n",
            .accept,
            ["GET /a"]
        ),
        FramingVector(
            "an IPv6 host",
            section: "3.2",
            "GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
            .accept,
            ["GET /a"]
        ),
        FramingVector(
            "a body by length",
            section: "6.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
            .accept,
            ["POST /a abc"]
        ),
        FramingVector(
            "a length of nought",
            section: "6.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            .accept,
            ["POST /a"]
        ),
        FramingVector(
            "a length with leading noughts",
            section: "6.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 003\r\n\r\nabc",
            .accept,
            ["POST /a abc"]
        ),
        FramingVector(
            "no framing means no body",
            section: "6.3",
            "POST /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .accept,
            ["POST /a", "GET /a"]
        ),
        FramingVector(
            "a body of a GET",
            section: "6.3",
            "GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhiGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .accept,
            ["GET /a hi", "GET /a"]
        ),
        FramingVector(
            "chunks",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            .accept,
            ["POST /a abcde"]
        ),
        FramingVector(
            "a size in either case",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n",
            .accept,
            ["POST /a 01234567890123456789a"]
        ),
        FramingVector(
            "a size with leading noughts",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n000\r\n\r\n",
            .accept,
            ["POST /a abc"]
        ),
        FramingVector(
            "line ends as data",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
            .accept,
            ["POST /a \r\n\r\n"]
        ),
        FramingVector(
            "a chunk extension",
            section: "7.1.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0;c\r\n\r\n",
            .accept,
            ["POST /a abc"]
        ),
        FramingVector(
            "a blank before a chunk extension",
            section: "7.1.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3 ;a=\"b\"\r\nabc\r\n0\r\n\r\n",
            .accept,
            ["POST /a abc"]
        ),
        FramingVector(
            "a trailer",
            section: "7.1.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
            .accept,
            ["POST /a abc"]
        ),
        FramingVector(
            "a trailer that pretends to frame",
            section: "7.1.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .accept,
            ["POST /a", "GET /a"]
        ),
        FramingVector(
            "the coding in capitals",
            section: "7",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
            .accept,
            ["POST /a"]
        ),
        FramingVector(
            "two requests at once",
            section: "9.3.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nxPOST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\ny",
            .accept,
            ["POST /a x", "POST /a y"]
        ),
        FramingVector(
            "a head that stops",
            section: "8",
            "GET /a HTTP/1.1\r\nHost: h\r\n",
            .incomplete,
            []
        ),
        FramingVector(
            "a body that stops",
            section: "8",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab",
            .incomplete,
            []
        ),
        FramingVector(
            "chunks without a last one",
            section: "8",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            .incomplete,
            []
        ),
        FramingVector(
            "a last chunk without its end",
            section: "8",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            .incomplete,
            []
        ),
    ]
}
