import Testing

@testable import Crypto

/// The published examples: RFC 7515 appendix A.2 and A.3, RFC 8037 appendix A.4.
@Suite struct SignatureTests {
    private static let claims =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    private static let modulus =
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql"
        + "L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs"
        + "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoud"
        + "F8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
    private static let rsaSignature =
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujG"
        + "bds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K"
        + "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6"
        + "LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    private static let curveSignature =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    private static let edwardsSignature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

    private static func bytes(_ text: String) throws -> [UInt8] {
        try #require(Base64URL.decode(text.utf8))
    }

    /// The three keys, each with a message and its signature.
    private static func examples() throws -> [(key: VerificationKey, message: [UInt8], signature: [UInt8])] {
        let x = try self.bytes("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")
        let y = try self.bytes("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")
        let point = try self.bytes("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
        let edwardsMessage = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
        return [
            (
                try #require(.rsa(modulus: try self.bytes(self.modulus), exponent: [1, 0, 1])),
                Array("eyJhbGciOiJSUzI1NiJ9.\(self.claims)".utf8), try self.bytes(self.rsaSignature)
            ),
            (
                try #require(.p256(x: x, y: y)), Array("eyJhbGciOiJFUzI1NiJ9.\(self.claims)".utf8),
                try self.bytes(self.curveSignature)
            ),
            (try #require(.ed25519(point)), Array(edwardsMessage.utf8), try self.bytes(self.edwardsSignature)),
        ]
    }

    @Test("the published signatures are good, and with any bit changed they are not")
    func examples() throws {
        for (key, message, signature) in try Self.examples() {
            #expect(key.verifies(signature, of: message))
            #expect(!key.verifies(signature, of: message + [0]))
            for place in stride(from: 0, to: signature.count, by: 7) {
                var other = signature
                other[place] ^= 1 << UInt8(place % 8)
                #expect(!key.verifies(other, of: message))
            }
            for other in [
                [], Array(signature.dropLast()), signature + [0], Array(repeating: 0, count: signature.count),
            ] {
                #expect(!key.verifies(other, of: message))
            }
        }
    }

    @Test("what is no key of a good size is none")
    func keys() throws {
        let modulus = try Self.bytes(Self.modulus)
        #expect(VerificationKey.rsa(modulus: Array(modulus.prefix(128)), exponent: [3]) == nil)
        #expect(VerificationKey.rsa(modulus: [0] + modulus, exponent: [1, 0, 1]) == nil)
        for exponent in [[], [1], [2], [0, 1, 0, 0]] as [[UInt8]] {
            #expect(VerificationKey.rsa(modulus: modulus, exponent: exponent) == nil)
        }
        let one = Array(repeating: UInt8(0), count: 31) + [1]
        #expect(VerificationKey.p256(x: one, y: one) == nil, "not on the curve")
        #expect(VerificationKey.p256(x: [1], y: one) == nil)
        #expect(VerificationKey.ed25519([1]) == nil)
    }

    @Test("base64 for URLs has one text for each value, and no other is taken")
    func base64() {
        for count in 0..<40 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 89 &+ 251) }
            let text = Base64URL.encode(bytes)
            #expect(Base64URL.decode(text.utf8) == bytes)
            #expect(Base64URL.decode((text + "=").utf8) == nil)
            #expect(Base64URL.decode((" " + text).utf8) == nil)
        }
        #expect(Base64URL.encode([0xfb, 0xff]) == "-_8")
        for text in ["A", "AB", "AAA+", "AA/A", "AAB", "A\u{e9}"] { #expect(Base64URL.decode(text.utf8) == nil) }
    }
}
