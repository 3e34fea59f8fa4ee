export function memoryStore(): void {}
