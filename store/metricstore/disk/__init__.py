"""What is kept on disk: the log that makes an acknowledged batch durable. All names and formats are in `formats`, every
operation on a file goes through `files`.
"""
