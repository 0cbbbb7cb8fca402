extension FramingVector {
    static let refusedHeads: [FramingVector] = [
        FramingVector(
            "a bare line feed after the request line",
            section: "2.2",
            "GET /a HTTP/1.1\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a bare line feed after a header",
            section: "2.2",
            "GET /a HTTP/1.1\r\nHost: h\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a bare line feed as the end",
            section: "2.2",
            "GET /a HTTP/1.1\r\nHost: h\r\n\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a bare carriage return in a value",
            section: "2.2",
            "GET /a HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a bare carriage return in the request line",
            section: "2.2",
            "GET /a\rHTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "two carriage returns",
            section: "2.2",
            "GET /a HTTP/1.1\r\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a blank before the first header",
            section: "2.2",
            "GET /a HTTP/1.1\r\n Host: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "two empty lines before the request line",
            section: "2.2",
            "\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a blank before the request line",
            section: "2.2",
            " GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "two blanks after the method",
            section: "3",
            "GET  /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "two blanks before the version",
            section: "3",
            "GET /a  HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a blank after the version",
            section: "3",
            "GET /a HTTP/1.1 \r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a tab as separator",
            section: "3",
            "GET\t/a\tHTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a blank in the target",
            section: "3",
            "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "no version, as in HTTP/0.9",
            section: "3",
            "GET /a\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "an invalid byte in the method",
            section: "3.1",
            "GE(T /a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "no method",
            section: "3.1",
            "/a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a target without a slash",
            section: "3.2",
            "GET a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a fragment",
            section: "3.2",
            "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a byte beyond ASCII in the target",
            section: "3.2",
            "GET /\u{E9} HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "an invalid encoding",
            section: "3.2.1",
            "GET /a%zz HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "an encoded NUL",
            section: "3.2.1",
            "GET /a%00 HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "an encoded slash",
            section: "3.2.1",
            "GET /a%2Fb HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "an encoded line end",
            section: "3.2.1",
            "GET /a%0d%0a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a dot segment",
            section: "3.2.1",
            "GET /b/../a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "the absolute form of another host",
            section: "3.2.2",
            "GET http://g/a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "the absolute form with a user",
            section: "3.2.2",
            "GET http://u@h/a HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "the authority form",
            section: "3.2.3",
            "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
            .refuse(501),
            []
        ),
        FramingVector(
            "the asterisk form of a GET",
            section: "3.2.4",
            "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a higher minor version",
            section: "2.3",
            "GET /a HTTP/1.2\r\nHost: h\r\n\r\n",
            .refuse(505),
            []
        ),
        FramingVector(
            "HTTP/2 without its frames",
            section: "2.3",
            "PRI * HTTP/2.0\r\n\r\n",
            .refuse(505),
            []
        ),
        FramingVector(
            "HTTP/0.9 by name",
            section: "2.3",
            "GET /a HTTP/0.9\r\nHost: h\r\n\r\n",
            .refuse(505),
            []
        ),
        FramingVector(
            "a version in small letters",
            section: "2.3",
            "GET /a http/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a version with two digits",
            section: "2.3",
            "GET /a HTTP/1.10\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "no Host",
            section: "3.2",
            "GET /a HTTP/1.1\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "two Hosts",
            section: "3.2",
            "GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "an empty Host",
            section: "3.2",
            "GET /a HTTP/1.1\r\nHost:\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "two hosts in one header",
            section: "3.2",
            "GET /a HTTP/1.1\r\nHost: h,g\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a path in the Host",
            section: "3.2",
            "GET /a HTTP/1.1\r\nHost: h/a\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a blank before the colon",
            section: "5.1",
            "GET /a HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a blank before the colon of a framing header",
            section: "5.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\nabc",
            .refuse(400),
            []
        ),
        FramingVector(
            "a header without a colon",
            section: "5.1",
            "GET /a HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a header without a name",
            section: "5.1",
            "GET /a HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "an invalid byte in a name",
            section: "5.1",
            "GET /a HTTP/1.1\r\nHost: h\r\nX@Y: a\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a folded line",
            section: "5.2",
            "GET /a HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a folded framing header",
            section: "5.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a NUL in a value",
            section: "5.5",
            "GET /a HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a control byte in a value",
            section: "5.5",
            "GET /a HTTP/1.1\r\nHost: h\r\nX: a\u{1}b\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a DEL in a value",
            section: "5.5",
            "GET /a HTTP/1.1\r\nHost: h\r\nX: a\u{7F}b\r\n\r\n",
            .refuse(400),
            []
        ),
    ]
}
