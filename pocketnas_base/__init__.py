"""What every room shares: the error hierarchy, safe file handling, the artifact record, progress reports."""
