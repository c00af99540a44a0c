"""The sample newsroom: a small invented newspaper on loopback, so that the whole line can be seen without a network."""
