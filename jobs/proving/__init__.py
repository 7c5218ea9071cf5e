"""The measured proof: what generated clips show and sound like, read from pixels and samples."""
