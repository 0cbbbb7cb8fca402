/// One numbered step of the schema: plain SQL, applied once, forward only.
package struct MigrationFile: Sendable {
    /// Its place in the order, from 1, without gaps.
    package let number: Int
    /// The file's name without the extension.
    package let name: String
    /// The file's text.
    package let sql: String

    private init(_ name: String, _ bytes: [UInt8]) {
        self.number = Int(name.prefix(4)) ?? 0
        self.name = name
        self.sql = String(decoding: bytes, as: UTF8.self)
    }

    /// All migrations in order. A test fails when a file of this folder is missing here.
    package static let all = [
        MigrationFile("0001_tenants", PackageResources._001_tenants_sql),
        MigrationFile("0002_conversations", PackageResources._002_conversations_sql),
        MigrationFile("0003_turns", PackageResources._003_turns_sql),
        MigrationFile("0004_placement", PackageResources._004_placement_sql),
        MigrationFile("0005_enqueue", PackageResources._005_enqueue_sql),
        MigrationFile("0006_approvals", PackageResources._006_approvals_sql),
        MigrationFile("0007_web_sessions", PackageResources._007_web_sessions_sql),
        MigrationFile("0008_spares", PackageResources._008_spares_sql),
        MigrationFile("0009_openai", PackageResources._009_openai_sql),
        MigrationFile("0010_snapshots", PackageResources._010_snapshots_sql),
        MigrationFile("0011_drain", PackageResources._011_drain_sql),
        MigrationFile("0012_accounts", PackageResources._012_accounts_sql),
        MigrationFile("0013_circuits", PackageResources._013_circuits_sql),
        MigrationFile("0014_approval_rules", PackageResources._014_approval_rules_sql),
        MigrationFile("0015_walls", PackageResources._015_walls_sql),
        MigrationFile("0016_quotas", PackageResources._016_quotas_sql),
        MigrationFile("0017_fair_claims", PackageResources._017_fair_claims_sql),
        MigrationFile("0018_schedules", PackageResources._018_schedules_sql),
        MigrationFile("0019_audit", PackageResources._019_audit_sql),
        MigrationFile("0020_backends", PackageResources._020_backends_sql),
        MigrationFile("0021_remote", PackageResources._021_remote_sql),
        MigrationFile("0022_redrive", PackageResources._022_redrive_sql),
        MigrationFile("0023_asked_as", PackageResources._023_asked_as_sql),
        MigrationFile("0024_ceilings", PackageResources._024_ceilings_sql),
        MigrationFile("0025_bounds", PackageResources._025_bounds_sql),
        MigrationFile("0026_provided", PackageResources._026_provided_sql),
        MigrationFile("0027_batches", PackageResources._027_batches_sql),
    ]
}
