_base_ = 'videomae-lora_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
