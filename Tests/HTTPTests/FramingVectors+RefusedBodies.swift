extension FramingVector {
    static let refusedBodies: [FramingVector] = [
        FramingVector(
            "both framings",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "both framings the other way round",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a coding that only ends like chunked",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "chunked not last",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "chunked twice",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "two headers of codings",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a coding with a parameter",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "an empty coding",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "an empty coding before chunked",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: , chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a coding in quotes",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a vertical tab before chunked",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \u{B}chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a coding not spoken here",
            section: "6.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(501),
            []
        ),
        FramingVector(
            "chunked from an HTTP/1.0 client",
            section: "6.1",
            "POST /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "two lengths that differ",
            section: "6.3",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "two lengths that agree",
            section: "6.3",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a list of lengths",
            section: "6.3",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a negative length",
            section: "6.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a length with a sign",
            section: "6.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a hexadecimal length",
            section: "6.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "an empty length",
            section: "6.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a length with a blank inside",
            section: "6.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3 3\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a length beyond any number",
            section: "6.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
            .refuse(413),
            []
        ),
        FramingVector(
            "a size that is no number",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a size with a sign",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a size with a prefix",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a blank before a size",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a blank after a size",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "no size",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a size beyond any number",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nabc",
            .refuse(400),
            []
        ),
        FramingVector(
            "a size beyond the limit",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7FFFFFFF\r\nabc",
            .refuse(413),
            []
        ),
        FramingVector(
            "a chunk longer than its size",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a chunk shorter than its size",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a bare line feed after a size",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a bare line feed after data",
            section: "7.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a bare line feed in an extension",
            section: "7.1.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a bare carriage return in an extension",
            section: "7.1.1",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a bare line feed as the end",
            section: "7.1.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a folded trailer",
            section: "7.1.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n b\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a trailer without a colon",
            section: "7.1.2",
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n",
            .refuse(400),
            []
        ),
        FramingVector(
            "a good request, then a bad one",
            section: "9.3.2",
            "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            .refuse(400),
            ["GET /a"]
        ),
    ]
}
