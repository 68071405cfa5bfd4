"""The two towers, their encoders and inputs, and a request's way to its vector."""
