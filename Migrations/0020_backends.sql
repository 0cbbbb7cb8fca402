-- The model backend that served a conversation last: a hint for its next call, never a rule. Each change is an event.
ALTER TABLE turnpike.conversations
    ADD COLUMN backend text CHECK (octet_length(backend) BETWEEN 1 AND 200);
