// swift-tools-version: 6.2
import PackageDescription

// One settings array for every Swift target.
// ExistentialAny SE-0335, InternalImportsByDefault SE-0409, MemberImportVisibility SE-0444,
// NonisolatedNonsendingByDefault SE-0461.
let house: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
    // A build for tests: it can be told to fail. See Sources/Faults.
    .define("FAULT_POINTS", .when(configuration: .debug)),
]

/// A Swift target under `Sources/`.
func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: house)
}

/// A test target under `Tests/`.
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: house)
}

// Targets stand in dependency order, top to bottom: platform, domain, where the two meet, the story, the edge.
let package = Package(
    name: "turnpike",
    products: [.executable(name: "turnpike", targets: ["turnpike"])],
    targets: [
        // Platform: knows no domain word.
        .target(name: "CRuntime"),
        module("Runtime", ["CRuntime"]),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev", "zlib1g-dev"])]),
        module("Crypto", ["CCrypto"]),
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
        module("Archive", ["CArchive", "CRuntime", "Crypto", "Runtime"]),
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        module("Postgres", ["CPostgres", "Runtime"]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .target(name: "CCurlShim", dependencies: ["CCurl"]),
        module("HTTP", ["CCurlShim", "CRuntime", "Runtime"]),
        .target(name: "CSubprocess"),
        module("Subprocess", ["CRuntime", "CSubprocess", "Runtime"]),
        module("EmbeddedPostgres", ["CRuntime", "Postgres", "Runtime"]),

        // Domain: imports nothing.
        module("Domain"),

        // Where a test build can be told to fail; nothing in a release build.
        module("Faults", ["Runtime"]),

        // Where the domain meets the platform.
        .target(
            name: "Migrations",
            path: "Migrations",
            resources: [
                .embedInCode("0001_tenants.sql"),
                .embedInCode("0002_conversations.sql"),
                .embedInCode("0003_turns.sql"),
                .embedInCode("0004_placement.sql"),
                .embedInCode("0005_enqueue.sql"),
                .embedInCode("0006_approvals.sql"),
                .embedInCode("0007_web_sessions.sql"),
                .embedInCode("0008_spares.sql"),
                .embedInCode("0009_openai.sql"),
                .embedInCode("0010_snapshots.sql"),
                .embedInCode("0011_drain.sql"),
                .embedInCode("0012_accounts.sql"),
                .embedInCode("0013_circuits.sql"),
                .embedInCode("0014_approval_rules.sql"),
                .embedInCode("0015_walls.sql"),
                .embedInCode("0016_quotas.sql"),
                .embedInCode("0017_fair_claims.sql"),
                .embedInCode("0018_schedules.sql"),
                .embedInCode("0019_audit.sql"),
                .embedInCode("0020_backends.sql"),
                .embedInCode("0021_remote.sql"),
                .embedInCode("0022_redrive.sql"),
                .embedInCode("0023_asked_as.sql"),
                .embedInCode("0024_ceilings.sql"),
                .embedInCode("0025_bounds.sql"),
                .embedInCode("0026_provided.sql"),
                .embedInCode("0027_batches.sql"),
            ],
            swiftSettings: house
        ),
        module("Store", ["Crypto", "Domain", "Faults", "Migrations", "Postgres", "Runtime"]),
        module("Workers", ["Archive", "Crypto", "Domain", "Faults", "Runtime", "Subprocess"]),

        // The story, the edge, the program.
        module("Gateway", ["Crypto", "Domain", "Faults", "Postgres", "Runtime", "Store", "Workers"]),
        .target(
            name: "API",
            dependencies: ["Crypto", "Domain", "Gateway", "HTTP", "Runtime"],
            resources: [
                .embedInCode("Page/page.html"), .embedInCode("Page/page.css"), .embedInCode("Page/page.js"),
            ],
            swiftSettings: house
        ),
        .executableTarget(
            name: "turnpike",
            dependencies: [
                "API", "CCurlShim", "Crypto", "Domain", "EmbeddedPostgres", "Faults", "Gateway", "HTTP", "Migrations",
                "Postgres", "Runtime", "Store", "Subprocess", "Workers",
            ],
            resources: [.embedInCode("Resources/echo_agent.py")],
            swiftSettings: house
        ),

        // Tests and measurements.
        module("TestKit", ["Domain", "EmbeddedPostgres", "Postgres", "Runtime", "Store", "Subprocess"]),
        tests("RuntimeTests", ["Runtime"]),
        tests("CryptoTests", ["Crypto"]),
        tests("ArchiveTests", ["Archive", "CArchive", "Runtime"]),
        tests("DomainTests", ["Domain"]),
        tests("FaultsTests", ["Faults"]),
        tests("PostgresTests", ["Postgres", "Runtime", "TestKit"]),
        tests("HTTPTests", ["HTTP", "Runtime"]),
        .executableTarget(
            name: "subprocess-victim",
            dependencies: ["Runtime", "Subprocess"],
            path: "Tests/subprocess-victim",
            swiftSettings: house
        ),
        tests("SubprocessTests", ["CRuntime", "CSubprocess", "Runtime", "Subprocess", "subprocess-victim"]),
        .executableTarget(
            name: "PostgresOwner",
            dependencies: ["EmbeddedPostgres"],
            path: "Tests/PostgresOwner",
            swiftSettings: house
        ),
        tests("EmbeddedPostgresTests", ["EmbeddedPostgres", "Postgres", "PostgresOwner", "Runtime", "TestKit"]),
        tests("TestKitTests", ["EmbeddedPostgres", "Postgres", "Runtime", "TestKit"]),
        tests(
            "StoreTests",
            ["Crypto", "Domain", "EmbeddedPostgres", "Migrations", "Postgres", "Runtime", "Store", "TestKit"]
        ),
        tests("WorkersTests", ["Archive", "Domain", "Runtime", "Subprocess", "TestKit", "Workers"]),
        tests(
            "GatewayTests",
            ["Crypto", "Domain", "Gateway", "Postgres", "Runtime", "Store", "Subprocess", "TestKit", "Workers"]
        ),
        tests(
            "APITests",
            [
                "API", "CCrypto", "Crypto", "Domain", "Gateway", "HTTP", "Postgres", "Runtime", "Store", "Subprocess",
                "TestKit", "Workers",
            ]
        ),
        tests("TurnpikeTests", ["API", "Domain", "HTTP", "Runtime", "TestKit", "turnpike"]),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "Domain", "EmbeddedPostgres", "Faults", "Postgres", "Runtime", "Subprocess", "TestKit", "turnpike",
            ],
            exclude: ["clients", "workers"],
            swiftSettings: house
        ),
        .executableTarget(
            name: "turnpike-drill",
            dependencies: ["CRuntime", "Domain", "EmbeddedPostgres", "Faults", "Postgres", "Runtime", "TestKit"],
            path: "Tests/Drill",
            exclude: ["workers"],
            swiftSettings: house
        ),
        tests("DrillTests", ["Faults", "TestKit", "turnpike", "turnpike-drill"]),
        tests("TidyTests", []),
    ]
)
