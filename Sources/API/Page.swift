import HTTP

/// The chat page: three files, the same for everybody. Whatever it shows it asks the API for, as any client would.
enum Page {
    /// `GET /`
    static func html(_ request: Request) async throws -> Response {
        self.file(PackageResources.page_html, "text/html; charset=utf-8")
    }

    /// `GET /page.css`
    static func style(_ request: Request) async throws -> Response {
        self.file(PackageResources.page_css, "text/css; charset=utf-8")
    }

    /// `GET /page.js`
    static func script(_ request: Request) async throws -> Response {
        self.file(PackageResources.page_js, "text/javascript; charset=utf-8")
    }

    /// Nothing from elsewhere, nothing inline, and no page of others around it.
    private static let policy = """
        default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
        form-action 'self'; frame-ancestors 'none'
        """

    private static func file(_ bytes: [UInt8], _ type: String) -> Response {
        let headers: Headers = [
            "Content-Type": type,
            "Content-Security-Policy": self.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-cache",
        ]
        return Response(status: 200, headers: headers, body: .bytes(bytes))
    }
}
