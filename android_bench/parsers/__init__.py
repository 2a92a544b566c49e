"""What a device and its tools print, as data. Every parser is a pure function, and everything it reads is untrusted:
it returns what was stated, None for what was not, and raises UnreadableOutputError for text of another kind."""
