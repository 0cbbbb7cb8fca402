/// A worker of a replica as operators see it.
package struct WorkerRecord: Sendable, Hashable {
    /// Where it stands.
    package var state: WorkerLifecycle.State
    /// The process of its launcher; 0 when there is none, as between two turns of a `command` worker.
    package var pid: Int32
    /// Nil for direct turns that name none.
    package var org: OrganizationID?
    /// The agent.
    package var agent: AgentID
    /// Nil for a spare and for a direct turn.
    package var conversation: ConversationID?
    /// Nil for a spare.
    package var deployment: DeploymentID?
    /// Since it was asked for.
    package var age: Duration
    /// Memory in use by its process tree, in bytes.
    package var residentBytes: Int
    /// Processor time of its process tree.
    package var cpuSeconds: Double

    package init(
        state: WorkerLifecycle.State,
        pid: Int32,
        org: OrganizationID?,
        agent: AgentID,
        conversation: ConversationID?,
        deployment: DeploymentID?,
        age: Duration,
        residentBytes: Int,
        cpuSeconds: Double
    ) {
        self.state = state
        self.pid = pid
        self.org = org
        self.agent = agent
        self.conversation = conversation
        self.deployment = deployment
        self.age = age
        self.residentBytes = residentBytes
        self.cpuSeconds = cpuSeconds
    }
}
