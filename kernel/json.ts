/**
 * The JSON values that rules, receipts and contracts exchange.
 * Promise: nothing here can hold a float, a date or an undefined; money is a decimal string.
 */
export type Json = string | number | boolean | null | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };
