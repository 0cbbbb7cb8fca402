internal import CPostgres

/// The fields of a server message that this module reads (`PG_DIAG_*` of libpq-fe.h).
enum DiagnosticField: UInt8 {
    case severity = 86  // 'V', never translated
    case sqlState = 67  // 'C'
    case message = 77  // 'M'
    case hint = 72  // 'H'
    case constraint = 110  // 'n'
    case sourceFunction = 82  // 'R'

    func read(_ result: OpaquePointer) -> String? {
        PQresultErrorField(result, Int32(self.rawValue)).map { String(cString: $0) }
    }
}

/// A message that came outside an answer.
struct Notice {
    let severity: String
    let sqlState: String
    let message: String
    let sourceFunction: String
}

/// Collects what libpq's notice receiver is called with while libpq parses input.
///
/// `@unchecked Sendable`: called from inside libpq functions only, which one thread at a time makes on a connection:
/// first the one that connects, then the reactor's.
final class NoticeSink: @unchecked Sendable {
    private var notices: [Notice] = []

    /// Replaces libpq's default, which prints to standard error. The sink must outlive the connection.
    func install(on raw: OpaquePointer) {
        PQsetNoticeReceiver(raw, receiveNotice, Unmanaged.passUnretained(self).toOpaque())
    }

    fileprivate func append(_ notice: Notice) {
        self.notices.append(notice)
    }

    /// The notices since the last call.
    func take() -> [Notice] {
        guard !self.notices.isEmpty else { return [] }
        defer { self.notices = [] }
        return self.notices
    }
}

private func receiveNotice(_ context: UnsafeMutableRawPointer?, _ result: OpaquePointer?) {
    guard let context, let result else { return }
    let notice = Notice(
        severity: DiagnosticField.severity.read(result) ?? "",
        sqlState: DiagnosticField.sqlState.read(result) ?? "",
        message: DiagnosticField.message.read(result) ?? "",
        sourceFunction: DiagnosticField.sourceFunction.read(result) ?? ""
    )
    Unmanaged<NoticeSink>.fromOpaque(context).takeUnretainedValue().append(notice)
}
