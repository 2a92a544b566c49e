"""Times are in nanoseconds where they are measured, and in milliseconds where they are stated."""

NS_PER_MS = 1e6
