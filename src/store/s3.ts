export function s3Store(): void {}
