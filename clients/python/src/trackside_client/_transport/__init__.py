"""What every part of the client speaks to the server by: requests, waiting between them, and batches kept on disk."""
