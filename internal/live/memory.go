package live

// Memory is the Channel of a server that is alone with its ledger.
type Memory struct{ receiver Receiver }

// NewMemory makes a Memory.
func NewMemory() *Memory { return &Memory{} }

// Connect implements Channel.
func (m *Memory) Connect(r Receiver) { m.receiver = r }

// Publish implements Channel: the receiver has the message when it returns.
func (m *Memory) Publish(msg Message) { m.receiver.Receive(msg) }

// Detail implements Channel: nobody else listens.
func (m *Memory) Detail() Detail { return 0 }

// Need implements Channel: what is published is made for the receiver.
func (m *Memory) Need(Detail) {}
