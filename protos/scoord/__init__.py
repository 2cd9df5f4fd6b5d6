"""The contract all programs of Session Coordinator share."""
