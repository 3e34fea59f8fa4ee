export interface StoreCounters { requests: number; bytes: number; errors: number; }
