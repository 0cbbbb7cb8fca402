import Domain
import Postgres
import Runtime
import TestKit
import Testing

@testable import Gateway

@Suite("Broken and worn-out workers")
struct CircuitTests {
    @Test(
        "an agent that does not start fails the turns that try, makes the others wait visibly, and gives them up in time"
    )
    func opens() async throws {
        try await GatewayFixture.with({
            $0.limits.leaseWait = .milliseconds(700)
            $0.limits.breakerFirst = .seconds(60)
        }) { fixture in
            let broken = try await fixture.agent("broken", "early", "3")
            for number in 0..<3 {
                let record = try await fixture.ask(broken, "c\(number)")
                #expect(record.outcome?.code == "worker_start_failed")
                #expect(record.outcome?.message?.hasPrefix("the worker exited with status 3") == true)
            }
            let starts = fixture.replica.starts
            let waiting = try await fixture.submit(broken, "d")
            let tenant = fixture.gateway.tenant(fixture.org)
            try await eventually("the reason to show") {
                try await tenant.turn(waiting.id, waitingAtMost: .zero).deferredFor?.hasPrefix(
                    "circuit open: the worker exited"
                ) == true
            }
            #expect(fixture.gateway.workers().circuits.first?.state(at: .now) == .open)
            // Others are served as ever.
            #expect(try await fixture.ask(fixture.agent("echo", "echo"), "e").state == .completed)
            let record = try await fixture.ended(waiting)
            #expect(record.outcome?.code == "worker_start_failed")
            #expect(record.outcome?.message?.hasPrefix("circuit open: ") == true)
            #expect(try await fixture.count("SELECT count(*) FROM turnpike.dead_letters") == 1)
            #expect(fixture.replica.starts == starts + 1)
        }
    }

    @Test("any replica says which of them holds back an agent, why and until when; to other organizations, nothing")
    func shown() async throws {
        try await GatewayFixture.with({
            $0.replicas = 2
            $0.limits.breakerFailures = 1
            $0.limits.breakerFirst = .seconds(60)
        }) { fixture in
            let broken = try await fixture.agent("broken", "early", "3")
            #expect(try await fixture.ask(broken, "c").outcome?.code == "worker_start_failed")
            for replica in fixture.replicas {
                let tenant = replica.gateway.tenant(fixture.org)
                try await eventually("the circuit to show") { try await tenant.circuits(of: broken).count == 1 }
                let circuit = try #require(try await tenant.circuits(of: broken).first)
                #expect(circuit.state == .open && circuit.failures == 1)
                #expect(circuit.reason.hasPrefix("the worker exited with status 3"))
                #expect(circuit.until?.hasSuffix("Z") == true)
                #expect(try await tenant.circuits(of: AgentID("other")).isEmpty)
                let stranger = replica.gateway.tenant(try OrganizationID("other"))
                #expect(try await stranger.circuits(of: broken).isEmpty)
            }
            try await fixture.agent("broken", "echo")
            #expect(try await fixture.ask(broken, "d").state == .completed)
            let tenant = fixture.gateway.tenant(fixture.org)
            try await eventually("the circuit to be gone") { try await tenant.circuits(of: broken).isEmpty }
        }
    }

    @Test("checking an agent, well or broken, neither opens nor closes its circuit")
    func checked() async throws {
        try await GatewayFixture.with({
            $0.limits.breakerFailures = 1
            $0.limits.breakerFirst = .seconds(60)
        }) { fixture in
            let well = try await fixture.agent("well", "echo")
            let broken = try await fixture.agent("broken", "early", "3")
            let tenant = fixture.gateway.tenant(fixture.org)
            let (good, bad) = (
                try await tenant.agent(well).configuration, try await tenant.agent(broken).configuration
            )
            #expect(try await fixture.ask(well, "c").state == .completed)
            let failed = try await tenant.check(well, bad)
            #expect(failed.failure != nil)
            #expect(fixture.gateway.workers().circuits.isEmpty)
            #expect(try await fixture.ask(broken, "d").outcome?.code == "worker_start_failed")
            let started = try await tenant.check(broken, good)
            #expect(started.failure == nil)
            #expect(fixture.gateway.workers().circuits.map { $0.state(at: .now) } == [.open])
        }
    }

    @Test("a changed configuration closes the circuit at once")
    func closes() async throws {
        try await GatewayFixture.with({
            // Time alone closes it no sooner.
            $0.limits.breakerFirst = .seconds(60)
            $0.limits.breakerLongest = .seconds(60)
        }) { fixture in
            let agent = try await fixture.agent("broken", "early", "3")
            for number in 0..<3 { _ = try await fixture.ask(agent, "c\(number)") }
            let waiting = try await fixture.submit(agent, "d")
            let tenant = fixture.gateway.tenant(fixture.org)
            try await eventually("the turn to wait") {
                try await tenant.turn(waiting.id, waitingAtMost: .zero).deferredFor != nil
            }
            try await fixture.agent("broken", "echo")
            #expect(try await fixture.ended(waiting).state == .completed)
            #expect(fixture.gateway.workers().circuits.isEmpty)
        }
    }

    @Test("a worker over its memory is replaced after its turn, with the same state, and never within one")
    func recycles() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("counter", "counter") { $0.limits.residentBytes = 1 << 20 }
            for number in 1...3 {
                #expect(try await fixture.ask(agent, "c").outcome?.reply.hasPrefix("n=\(number) ") == true)
            }
            #expect(fixture.replica.starts == 3)
            let recycled = fixture.replica.metrics.value(
                "turnpike_workers_recycled_total",
                labels: ["reason": "memory"]
            )
            #expect(recycled == 3)
        }
    }

    @Test("operators see each worker with what it uses, and the metrics add it up by agent")
    func usage() async throws {
        try await GatewayFixture.with { fixture in
            let agent = try await fixture.agent("counter", "counter")
            #expect(try await fixture.ask(agent, "c").state == .completed)
            let worker = try #require(fixture.gateway.workers().workers.first)
            #expect(worker.state == .idle)
            #expect(worker.pid > 0)
            #expect(worker.conversation?.text == "c")
            #expect(worker.residentBytes > 1 << 20)
            let text = fixture.replica.metrics.render()
            #expect(text.contains(#"turnpike_worker_cpu_seconds_total{agent="counter",org="default"} "#))
            let labels = ["org": "default", "agent": "counter"]
            #expect(fixture.replica.metrics.value("turnpike_worker_resident_bytes", labels: labels) > 1_000_000)
        }
    }
}
