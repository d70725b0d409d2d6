"""Inner kernels: assembly (`mohaq_kernels.S`), C fallbacks (`mohaq_kernels.h`), their generator."""
