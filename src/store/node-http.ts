/**
 * Node's HTTP modules. An `import` of them reads all that they export, and Node 22 and later load their own fetch for that: 40 ms of each start.
 */
export const http = process.getBuiltinModule('node:http');
export const https = process.getBuiltinModule('node:https');
